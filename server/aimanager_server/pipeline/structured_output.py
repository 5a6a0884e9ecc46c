"""Holds an answer to the shape that was asked for, and has the model repair one that misses it, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from ..core.attempts import AttemptRecord
from ..core.content import Message, Part, Text
from ..core.errors import (
    CapabilityUnsupported,
    FieldViolation,
    GatewayError,
    InvalidRequest,
    OutputSchemaMismatch,
    ProviderProtocolError,
)
from ..core.handler import Clock, Handler
from ..core.request import Call
from ..core.response import Event, Finished, FinishReason, ResponseBuilder, ResponseStream
from ..core.usage import Usage, add_cost, add_usage
from ..structured_output.prompts import repairing, wordings
from ..structured_output.validator import Finding, Flaw, Shape, TooLaborious
from ..validation.output_format import FIELD
from .attempt_log import of_answer, of_failure

HELD = frozenset((FinishReason.STOP, FinishReason.OTHER))
"""Answers that came to their own end. One that was cut, filtered or refused, or that waits for tools, is as it is."""


class Conform:
    """The layer around one target. What the provider cannot be asked for natively is put into the instruction.

    Until it is found valid, an answer is kept back, and a stream shows nothing but heartbeats; only where the provider
    itself promises the shape does a stream flow, and then it fails at its end if the promise was not kept.
    Raises SchemaMismatch after one repair; usage and cost are those of both turns. `conformed` is told, by provider and
    model, whether an answer met its shape at once.
    """

    def __init__(self, clock: Clock, conformed: Callable[[str, str, bool], None] = lambda *_: None) -> None:
        self._clock = clock
        self._conformed = conformed

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Answer, where a shape was asked for, in that shape."""
        wanted = call.output_format
        if wanted is None:
            return await proceed(call)
        shape, began = Shape(wanted, self._clock), self._clock()
        asked, reply = await _ask(call, proceed)
        if call.streaming and asked.output_format == wanted:
            return reply.map_events(lambda events: _flowing(events, shape, call, self._conformed))
        first = await _read(reply)
        finding = await _look(first, shape)
        if first.finished.reason in HELD:
            self._conformed(call.target.provider, call.target.model, not finding.flaws)
        if not finding.flaws:
            return first.reply(finding.json)
        middle = self._clock()
        tries = first.tries(call, OutputSchemaMismatch.spec.reason, middle - began)
        try:
            second = await _read(await proceed(repairing(asked, first.message, finding.flaws)))
        except GatewayError as fault:
            *before, last = tries
            took = replace(last, usage=first.finished.usage, cost=first.finished.cost)
            fault.attempts = (*before, took, *of_failure(fault, call.target, self._clock() - middle))
            raise
        return await _settled(second.after(first, (*tries, *second.tries(call, "", self._clock() - middle))), shape)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A whole answer with the events it came in; the last of them is `finished`."""

    source: ResponseStream
    events: tuple[Event, ...]
    message: Message
    finished: Finished

    @property
    def text(self) -> str:
        return _text_of(self.message.parts)

    def tries(self, call: Call, reason: str, seconds: float) -> tuple[AttemptRecord, ...]:
        """How it came about, and what became of it."""
        *before, last = of_answer(self.source, call.target, seconds)
        return (*before, replace(last, error_reason=reason))

    def after(self, first: _Answer, tries: tuple[AttemptRecord, ...]) -> _Answer:
        """The same answer, at the price of both."""
        usage = add_usage(first.finished.usage, self.finished.usage)
        finished = replace(self.finished, usage=usage, cost=add_cost(first.finished.cost, self.finished.cost))
        return replace(
            self, source=self.source.with_metadata(replace(self.source.metadata, attempts=tries)), finished=finished
        )

    def reply(self, structured_json: str) -> ResponseStream:
        """The answer, to be given on; it holds no connection any more."""
        events = (*self.events[:-1], replace(self.finished, structured_json=structured_json))
        return ResponseStream(self.source.metadata, _each(events), self.source.aclose, self.source.usage_so_far)


async def _ask(call: Call, proceed: Handler) -> tuple[Call, ResponseStream]:
    ways = wordings(call)
    for asked in ways[:-1]:
        try:
            return asked, await proceed(asked)
        except CapabilityUnsupported as fault:
            if not any(violation.field.startswith("output_format") for violation in fault.violations):
                raise
    return ways[-1], await proceed(ways[-1])


async def _read(reply: ResponseStream) -> _Answer:
    collected, events = ResponseBuilder(), []
    async with aclosing(reply):
        async for event in reply:
            collected.add(event)
            events.append(event)
    if collected.finished is None:
        raise ProviderProtocolError("The answer ended without its end.", provider=reply.metadata.provider)
    completion = collected.result(reply.metadata)
    return _Answer(reply, tuple(events), completion.message, completion.finished)


async def _look(answer: _Answer, shape: Shape) -> Finding:
    if answer.finished.reason not in HELD:
        return Finding("")
    return await _checked(answer.text, shape, answer.finished.usage)


async def _settled(answer: _Answer, shape: Shape) -> ResponseStream:
    finding = await _look(answer, shape)
    if finding.flaws:
        raise _mismatch(finding.flaws[0], answer)
    return answer.reply(finding.json)


async def _flowing(
    events: AsyncIterator[Event], shape: Shape, call: Call, conformed: Callable[[str, str, bool], None]
) -> AsyncIterator[Event]:
    collected = ResponseBuilder()
    async for event in events:
        collected.add(event)
        if not isinstance(event, Finished):
            yield event
    finished = collected.finished
    if finished is None:
        return
    if finished.reason in HELD:
        text = _text_of([collected.parts[index] for index in sorted(collected.parts)])
        finding = await _checked(text, shape, finished.usage)
        conformed(call.target.provider, call.target.model, not finding.flaws)
        if finding.flaws:
            raise _missed(finding.flaws[0], call.target.provider, call.target.model, finished.usage)
        finished = replace(finished, structured_json=finding.json)
    yield finished


async def _checked(text: str, shape: Shape, usage: Usage) -> Finding:
    """In a thread: a large answer may take a while, and other calls go on."""
    try:
        return await asyncio.to_thread(shape.check, text)
    except TooLaborious as error:
        field = FieldViolation(f"{FIELD}.schema_json", "takes too many steps to check an answer against")
        fault = InvalidRequest(
            f"{field.field}: {field.description}.",
            solution="Make the schema smaller; above all, have fewer alternatives that refer to each other.",
            violations=(field,),
        )
        fault.usage = usage
        raise fault from error


def _mismatch(flaw: Flaw, answer: _Answer) -> OutputSchemaMismatch:
    head = answer.source.metadata
    fault = _missed(flaw, head.provider, head.model, answer.finished.usage)
    *before, last = head.attempts
    fault.attempts = (*before, replace(last, error_reason=fault.reason))
    return fault


def _missed(flaw: Flaw, provider: str, model: str, usage: Usage) -> OutputSchemaMismatch:
    """The message names no value of the answer, which may be anything."""
    place = flaw.path or "/"
    message = f"The answer is not what was asked for: at {place[:200]!r} it does not meet {flaw.keyword!r}."
    metadata = {"path": place, "keyword": flaw.keyword}
    fault = OutputSchemaMismatch(message, provider=provider, model=model, metadata=metadata)
    fault.usage = usage
    return fault


def _text_of(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


async def _each(events: Sequence[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event
