"""Enforce the output format of an attempt: request it in the provider's way, and validate the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.content import Message, OutputFormat, Part, Role, Text
from ..core.errors import FieldViolation, InvalidRequest, OutputSchemaMismatch
from ..core.handler import AttemptHandler, Clock
from ..core.request import Attempt, Call, Repair
from ..core.response import Event, Finished, FinishReason, ResponseBuilder
from ..core.stream import ResponseStream, StreamObserver
from ..core.usage import add_cost, add_usage
from ..structured_output.budgeted_keywords import ValidationBudgetExceeded
from ..structured_output.prompts import format_prompts, repair_prompt
from ..structured_output.validator import AnswerTooLarge, SchemaValidator, ValidationResult
from ..validation.output_format import JSON_SCHEMA_FIELD

CHECKED_FINISHES = frozenset((FinishReason.STOP, FinishReason.OTHER))
"""Answers that are validated. Truncated, filtered and refused answers and tool calls are passed unchanged."""

OnValidated = Callable[[str, str, bool, str], None]
"""Receives provider, model, whether the first answer was valid, and the name of the caller."""

RunInThread = Callable[[str, Callable[[], ValidationResult]], Awaitable[ValidationResult]]
"""Runs a validation for the caller of this name outside the event loop's thread."""


class EnforceOutputFormat:
    """Return answers in the call's output format, which is emulated by instructions if the provider lacks it.

    An answer is held back until it is valid; a stream shows only heartbeats until then. If the provider itself
    guarantees the format, the stream passes through and fails at its end if the guarantee was broken. Raises
    OutputSchemaMismatch for an invalid answer; unless it comes from a repair, its `repair` describes how to request
    one, and usage and cost of the repair include the rejected answer.
    """

    def __init__(
        self,
        clock: Clock,
        run_in_thread: RunInThread,
        on_validated: OnValidated = lambda *_: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._pause = pause
        self._on_validated = on_validated

    def __call__(self, attempt: Attempt[Any], proceed: AttemptHandler) -> Awaitable[ResponseStream]:
        """Proceed unchanged without an output format."""
        output_format = attempt.call.output_format
        return proceed(attempt) if output_format is None else self._enforce(output_format, attempt, proceed)

    async def validated(self, call: Call, text: str) -> str:
        """Return the JSON of a text in the output format of a call. Raises ValueError if it does not match."""
        assert call.output_format is not None
        validator = SchemaValidator(call.output_format, self._clock, pause=self._pause)
        try:
            result = await self._run_in_thread(call.caller.name, lambda: validator.validate(text))
        except asyncio.CancelledError:
            validator.stop()
            raise
        except (AnswerTooLarge, ValidationBudgetExceeded) as error:
            raise ValueError(str(error)) from error
        for violation in result.violations:
            raise ValueError(f"{violation.keyword!r} failed at {violation.path[:200] or '/'!r}")
        return result.json

    async def _enforce(
        self, output_format: OutputFormat, attempt: Attempt[Any], proceed: AttemptHandler
    ) -> ResponseStream:
        validator = SchemaValidator(output_format, self._clock, pause=self._pause)
        repair = attempt.repair
        attempt.forms = format_prompts(attempt) if repair is None else (repair_prompt(attempt, repair),)
        stream = await proceed(attempt)
        assert attempt.sent is not None
        if attempt.call.streaming and repair is None and attempt.sent.output_format == output_format:
            native = _NativeAnswer(attempt, validator, self._run_in_thread, self._on_validated)
            return stream.observed_by(native).finalized_by(native.validate)
        answer = await _read(stream)
        if repair is not None:
            answer = answer.after(repair)
        result = await _validate(attempt, answer, validator, self._run_in_thread)
        if repair is None and answer.finished.reason in CHECKED_FINISHES:
            self._on_validated(*attempt.target.key, not result.violations, attempt.caller.name)
        if not result.violations:
            return ResponseStream.of(stream.metadata, answer.events_with(result.json))
        attempt.record.reject(OutputSchemaMismatch.spec.reason)
        raise _mismatch(attempt, answer, result, is_repairable=repair is None)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A complete answer and its events; `finished` is the last event."""

    events: list[Event]
    message: Message
    finished: Finished

    def after(self, repair: Repair) -> _Answer:
        """Return this answer with the usage and cost of the rejected one included."""
        usage = add_usage(repair.usage, self.finished.usage)
        cost = add_cost(repair.cost, self.finished.cost)
        return replace(self, finished=replace(self.finished, usage=usage, cost=cost))

    def events_with(self, structured_json: str) -> list[Event]:
        """Return the events, with the JSON that was validated."""
        return [*self.events[:-1], replace(self.finished, structured_json=structured_json)]


class _NativeAnswer(StreamObserver):
    """Validates a stream whose provider guarantees the format, before its reader sees the end."""

    __slots__ = ("_attempt", "_builder", "_on_validated", "_run_in_thread", "_validator")

    def __init__(
        self, attempt: Attempt[Any], validator: SchemaValidator, run_in_thread: RunInThread, on_validated: OnValidated
    ) -> None:
        self._attempt = attempt
        self._validator = validator
        self._run_in_thread = run_in_thread
        self._on_validated = on_validated
        self._builder = ResponseBuilder()

    def on_events(self, events: list[Event]) -> None:
        for event in events:
            self._builder.add(event)

    async def validate(self, events: list[Event]) -> None:
        """Add the validated JSON to the completion event. Raises OutputSchemaMismatch."""
        finished = events[-1] if events else None
        if not isinstance(finished, Finished) or finished.reason not in CHECKED_FINISHES:
            return
        parts = tuple(self._builder.parts[index] for index in sorted(self._builder.parts))
        answer = _Answer(events, Message(Role.ASSISTANT, parts), finished)
        result = await _validate(self._attempt, answer, self._validator, self._run_in_thread)
        self._on_validated(*self._attempt.target.key, not result.violations, self._attempt.caller.name)
        if result.violations:
            self._attempt.record.reject(OutputSchemaMismatch.spec.reason)
            raise _mismatch(self._attempt, answer, result, is_repairable=False)
        events[-1] = replace(finished, structured_json=result.json)


async def _read(stream: ResponseStream) -> _Answer:
    builder, events = ResponseBuilder(), list[Event]()
    while batch := await stream.read():
        events += batch
        for event in batch:
            builder.add(event)
    result = builder.result(stream.metadata)
    return _Answer(events, result.message, result.finished)


async def _validate(
    attempt: Attempt[Any], answer: _Answer, validator: SchemaValidator, run_in_thread: RunInThread
) -> ValidationResult:
    """Validate in a thread, since a long answer would block the event loop."""
    if answer.finished.reason not in CHECKED_FINISHES:
        return ValidationResult("")
    text = _text_of(answer.message.parts)
    try:
        return await run_in_thread(attempt.caller.name, lambda: validator.validate(text))
    except asyncio.CancelledError:
        validator.stop()
        raise
    except AnswerTooLarge as cause:
        attempt.record.reject(OutputSchemaMismatch.spec.reason)
        provider, model = attempt.target.key
        raise OutputSchemaMismatch(
            f"The model's answer is too large to validate against output_format: {cause}.",
            solution="Set a lower limit for the output tokens.",
            provider=provider,
            model=model,
            usage=answer.finished.usage,
            cost=answer.finished.cost,
        ) from cause
    except ValidationBudgetExceeded as cause:
        attempt.record.reject(InvalidRequest.spec.reason)
        field, description = f"{JSON_SCHEMA_FIELD}.schema_json", "takes too many steps to validate"
        raise InvalidRequest(
            f"{field} {description}.",
            solution="Simplify the schema, in particular alternatives that refer to each other.",
            violations=(FieldViolation(field, description),),
            usage=answer.finished.usage,
        ) from cause


def _mismatch(
    attempt: Attempt[Any], answer: _Answer, result: ValidationResult, *, is_repairable: bool
) -> OutputSchemaMismatch:
    """Return the error. Its message contains no value of the answer, which may be confidential."""
    provider, model = attempt.target.key
    violation = result.violations[0]
    path, keyword, finished = violation.path or "/", violation.keyword, answer.finished
    repair = None
    if is_repairable and attempt.sent is not None:
        messages = tuple(violation.message for violation in result.violations)
        repair = Repair(attempt.sent, answer.message, messages, finished.usage, finished.cost)
    return OutputSchemaMismatch(
        f"The model's answer does not match output_format: {keyword!r} failed at {path[:200]!r}.",
        provider=provider,
        model=model,
        metadata={"path": path, "keyword": keyword},
        usage=finished.usage,
        cost=finished.cost,
        repair=repair,
    )


def _text_of(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))
