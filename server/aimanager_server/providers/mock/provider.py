"""A provider that needs no key and no network and always answers the same: for your tests, and for ours.

Ask any of its models (`mock-large`, `mock-medium`, `mock-small`, `mock-thinker`) anything and it says your question
back. To make it say or do something else, write directives between double brackets into the prompt:

    What is the weather? [[reasoning: I should look.]] [[tool: get_weather {"city": "Rome"}]]

What to say, in the order written; any of these replaces the default answer:

    [[reply: Hello]]                    Text. Each reply is a part of its own; an empty one says nothing.
    [[words: 200]]                      A text of so many words.
    [[reasoning: I think]]              Reasoning, with a provider_state (see below).
    [[think: 5]]                        Thinking of so many tokens that nobody can see. Where nothing else is said, the
                                        default answer follows.
    [[tool: get_weather {"a": 1}]]      A tool call; the arguments go out as they are, valid JSON or not.
    [[then]]                            What follows answers the next round of the tool loop, once the results of the
                                        calls before it are there. Without it the results are quoted.

How to behave; these work with the default answer too:

    [[latency: 0.2]]                    Seconds until anything is said.
    [[rate: 50]]                        Tokens per second.
    [[error: PROVIDER_OVERLOADED]]      Fail before anything is said, with any reason of the error table.
    [[error: PROVIDER_RATE_LIMITED retry_after=2 times=2]]
                                        Advise to wait, and fail only the first two calls of the same prompt. Several
                                        errors take their turns. The last 1000 prompts are remembered.
    [[cut: 3]]                          Lose the answer after 3 tokens, at its end at the latest: STREAM_INTERRUPTED
                                        on a stream, PROVIDER_PROTOCOL where nothing was shown yet.
    [[stall: 3]]                        Say nothing more after 3 tokens, until the deadline or a cancel: then as a cut,
                                        or DEADLINE_EXCEEDED where nothing was shown yet.
    [[stall: 3 seconds=2]]              Say nothing for 2 seconds after 3 tokens, then go on.
    [[cut: 3 times=1]]                  Only the first time the prompt is asked, whatever the model: whoever asks again
                                        gets an answer. Latency and stalls take `times` too; errors go first.
    [[finish: max_tokens]]              Finish for this reason: stop, max_tokens, tool_calls, content_filter, refusal,
                                        context_window, paused or other.
    [[usage: 10/20 cache_read=4 cache_write=2 reasoning=5]]
                                        Report this usage: input/output, and what of it was cached or reasoning.

A directive that is unknown or cannot be read is INVALID_FIELD, and the message says what is accepted. Brackets inside a
directive have to pair up. `[[Other]]` double brackets, without a colon, are ordinary text.

The same language works without touching the prompt. Callers send `{"script": "[[reply: Hello]]"}` as provider options
of the mock; operators put scripts into the configuration, where the first one whose `match` occurs in the question is
taken. In both, words around the directives are replies. Caller beats prompt beats configuration.

    [providers.mock.options]
    latency = 0.2
    rate = 40
    scripts = [
      { match = "weather", answer = '[[tool: get_weather {"city": "Rome"}]] [[then]] Sunny.' },
      { match = "", answer = "Hello from the staging environment." },
    ]

What real providers do, it does too. A token is a word, or eight characters of a tool call's arguments; usage is counted
in them. max_output_tokens and stop_sequences are honoured. Without a directive it reasons where the model is
mock-thinker or the call asks for reasoning, and answers in JSON that fits the schema where the call asks for it.
Reasoning that comes back in a later call must carry its provider_state untouched, else PROVIDER_REJECTED_REQUEST: a
client that loses it would fail against a real provider.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...core.errors import FieldViolation, InvalidRequest
from ...core.handler import Clock
from ...core.request import Call
from ...core.response import Event, ReasoningProgress, ResponseMetadata, ResponseStream
from .answers import Question, answer_of, check_states, question_of
from .playback import Pauses, Saying, too_late
from .script import Reading, Script
from .script_parser import read

REMEMBERED = 1000
"""How many prompts that fail a number of times are remembered."""


class ScriptOption(BaseModel):
    """An answer for every question that holds `match`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str
    answer: str

    @field_validator("answer")
    @classmethod
    def _is_readable(cls, answer: str) -> str:
        try:
            read(answer, speaks=True)
        except InvalidRequest as error:
            raise ValueError(error.message) from error
        return answer


class Options(BaseModel):
    """`[providers.mock.options]`: `latency` in seconds and `rate` in tokens per second, where no script says else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scripts: tuple[ScriptOption, ...] = ()
    latency: float = Field(default=0.0, ge=0)
    rate: float | None = Field(default=None, gt=0)


OPTIONS = frozenset({"script", *Options.model_fields})
"""What may stand in a call's options: the caller's own script, and whatever the operator configured for all."""


class Mock:
    """The provider. Raises ValueError where an option cannot be used.

    `clock` is the one that deadlines are on, `sleep` waits for seconds on it.
    """

    def __init__(self, options: Mapping[str, Any], clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._options = Options.model_validate(dict(options))
        self._readings = [(script.match, read(script.answer, speaks=True)) for script in self._options.scripts]
        self._pauses = Pauses(clock, sleep)
        self._asked: OrderedDict[tuple[str, int, str], int] = OrderedDict()

    async def __call__(self, call: Call) -> ResponseStream:
        """Answer as scripted. Raises what the script says; DeadlineExceeded where the deadline passes before."""
        check_states(call)
        question = question_of(call)
        script = self._script(call, question)
        number = self._count(call, question) if script.counts else 1
        if not await self._pauses.take(self._latency(script, number), call):
            raise too_late(call)
        number = _after_failures(call, script, number)
        saying = Saying(call, script, answer_of(call, question, script), number, script.rate or self._options.rate)
        events = saying.events(self._pauses)
        head = ResponseMetadata(
            call.id, call.requested_model, call.target.provider, call.target.model, warnings=call.target.warnings
        )
        if call.is_upstream_streamed:
            return ResponseStream(head, _after(await anext(events), events), events.aclose, saying.spent)
        async with aclosing(events):
            whole: list[Event] = [event async for event in events if not isinstance(event, ReasoningProgress)]
        return ResponseStream(head, _again(whole), _nothing, saying.spent)

    async def probe(self) -> None:
        """It is always there."""

    async def aclose(self) -> None:
        """It holds nothing."""

    def _script(self, call: Call, question: Question) -> Script:
        reading = self._reading(call, question)
        return reading.rounds[question.round] if question.round < len(reading.rounds) else Script()

    def _reading(self, call: Call, question: Question) -> Reading:
        unknown = set(call.target.options) - OPTIONS
        if unknown:
            raise _unusable(f"The mock has no option {min(unknown)!r}; accepted is 'script'.")
        own = call.target.options.get("script")
        if isinstance(own, str):
            return read(own, speaks=True)
        if own is not None:
            raise _unusable(f"The mock's option 'script' is {type(own).__name__!r}; accepted is a string.")
        if question.reading.is_scripted:
            return question.reading
        return next((reading for match, reading in self._readings if match in question.text), Reading((Script(),), ""))

    def _latency(self, script: Script, number: int) -> float:
        told = script.latency
        if told is None or told.seconds is None or not told.befalls(number):
            return self._options.latency
        return told.seconds

    def _count(self, call: Call, question: Question) -> int:
        """The how manieth call of its caller with this prompt it is, whatever the model."""
        prompt = (call.caller.name, len(call.messages), question.text)
        self._asked[prompt] = self._asked.pop(prompt, 0) + 1
        if len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return self._asked[prompt]


def _after_failures(call: Call, script: Script, number: int) -> int:
    """Which call it is of those that do not fail. Raises the failure whose turn it is."""
    for failure in script.failures:
        if failure.times is None or number <= failure.times:
            raise failure.fault(
                f"The mock provider was told to fail with {failure.fault.spec.reason}.",
                provider=call.target.provider,
                model=call.target.model,
                retry_after=failure.retry_after,
            )
        number -= failure.times
    return number


def _unusable(message: str) -> InvalidRequest:
    return InvalidRequest(message, violations=(FieldViolation("provider_options_json", message),))


async def _after(first: Event, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in events:
        yield event


async def _again(events: list[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


async def _nothing() -> None: ...
