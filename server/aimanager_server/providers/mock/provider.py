"""A deterministic provider that needs no API key and no network, for tests and demos.

Any prompt to one of its models (`mock-large`, `mock-medium`, `mock-small`, `mock-thinker`) is echoed. Directives in
double brackets within the prompt script the response:

    What is the weather? [[reasoning: I should look.]] [[tool: get_weather {"city": "Rome"}]]

Content, in the order written. Any of these directives replaces the default response:

    [[reply: Hello]]                    Text. Each reply is a separate part; an empty reply adds nothing.
    [[words: 200]]                      Text of this many words: "word1 word2 …".
    [[reasoning: I think]]              Reasoning, with a provider_state (see below).
    [[think: 5]]                        Hidden reasoning of this many tokens. Without other content, the default
                                        response follows.
    [[tool: get_weather {"a": 1}]]      A tool call. The arguments are sent unmodified, valid JSON or not.
    [[then]]                            The directives after it apply to the next round of the tool loop. Without it,
                                        the tool results are quoted.

Behavior, which also applies to the default response:

    [[latency: 0.2]]                    Seconds before the first token.
    [[rate: 50]]                        Tokens per second.
    [[error: PROVIDER_OVERLOADED]]      Fail before the first token, with any reason of the error reference.
    [[error: PROVIDER_RATE_LIMITED retry_after=2 times=2]]
                                        Fail with a Retry-After, for the first two calls with the same prompt only.
                                        Several errors apply one after the other. Calls are counted for the last 1000
                                        prompts.
    [[cut: 3]]                          Cut the connection after 3 tokens, or at the end of a shorter response:
                                        STREAM_INTERRUPTED on a stream, PROVIDER_PROTOCOL before the first token.
    [[stall: 3]]                        Send nothing after 3 tokens until the deadline or cancellation, then fail as
                                        for a cut, or with DEADLINE_EXCEEDED before the first token.
    [[stall: 3 seconds=2]]              Pause for 2 seconds after 3 tokens, then continue.
    [[cut: 3 times=1]]                  Cut only the first call with this prompt, whatever the model, so that a retry
                                        succeeds. Latency and stalls accept `times` too. Errors apply first.
    [[finish: max_tokens]]              The finish reason: stop, max_tokens, tool_calls, content_filter, refusal,
                                        context_window, paused or other.
    [[usage: 10/20 cache_read=4 cache_write=2 reasoning=5]]
                                        The reported usage: input/output tokens, and how many of them were cached or
                                        reasoning tokens.

An unknown or malformed directive fails with INVALID_FIELD; the message lists what is accepted. Brackets inside a
directive must be balanced. Double brackets without a colon, such as `[[Other]]`, are ordinary text.

A script may have 256 directives, 1,048,576 characters of text, reasoning and tool calls (`max_answer_length`), 100,000
tokens of hidden reasoning, and 50,000 brackets within a directive; beyond a limit, the call fails with INVALID_FIELD.
Only the first 50,000 double brackets of a prompt are examined.

Scripted errors, cuts, stalls, latencies and rates concern the caller alone: they move no circuit breaker, no health and
no statistics that routing uses, unless the operator sets `faults_count`.

The same language works outside the prompt. Callers send `{"script": "[[reply: Hello]]"}` as provider options of the
mock provider. Operators configure scripts; the first one whose `match` is a substring of the prompt applies. In both,
text between directives becomes replies. A caller's script takes precedence over the prompt, the prompt over the
configuration.

    [providers.mock.options]
    latency = 0.2
    rate = 40
    max_answer_length = 100_000
    faults_count = true
    scripts = [
      { match = "weather", answer = '[[tool: get_weather {"city": "Rome"}]] [[then]] Sunny.' },
      { match = "", answer = "Hello from the staging environment." },
    ]

In all other respects it behaves like a real provider. A token is a word, or eight characters of tool call arguments;
usage is counted in tokens. Beyond the first million characters of a prompt, every four count as one token.
max_output_tokens and stop_sequences are supported. Without directives, the response includes reasoning if the model is
mock-thinker or the call requests reasoning, and is JSON that satisfies the requested schema. Reasoning that is sent
back must carry its provider_state unmodified, else the call fails with PROVIDER_REJECTED_REQUEST, as it would at a real
provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from ...core.errors import FieldViolation, InvalidRequest
from ...core.handler import Clock
from ...core.request import Attempt
from ...core.response import Event, Finished, ResponseMetadata
from ...core.stream import ResponseStream
from ...validation.violations import quoted
from .answers import choose_answer
from .call_counts import CallCounts
from .options import MockOptions
from .pace import Pace
from .playback import Delay, Playback, deadline_exceeded
from .prompt import Prompt, check_provider_states, contains, read_prompt
from .script import ParsedScript, Script
from .script_parser import parse_untrusted_script

ALLOWED_OPTIONS = frozenset({"script", "end_user_id", *MockOptions.model_fields})
"""Keys in a call's native options: the caller's script and end user, and the operator's options, merged in."""


class MockProvider:
    """Respond as scripted. Raises ValueError if an option is invalid.

    `clock` is the clock of deadlines; `sleep` sleeps on it.
    """

    def __init__(self, options: Mapping[str, Any], clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._options = MockOptions.model_validate(dict(options))
        self._configured_scripts = self._options.parsed_scripts()
        self._delay = Delay(clock, sleep)
        self._call_counts = CallCounts()
        self._line = asyncio.Lock()

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        """Return the scripted response. Raises the scripted errors, and DeadlineExceeded."""
        pace, max_length = self.pace(), self._options.max_answer_length
        await check_provider_states(attempt, max_length, pace)
        prompt = await read_prompt(attempt, max_length, pace)
        script = await self._select_script(attempt, prompt, pace)
        if script.injects_faults and not self._options.faults_count:
            attempt.record.affects_health = False
        call_number = 1
        if script.depends_on_call_number:
            call_number = await self._call_counts.count(attempt, prompt.text, pace)
        if not await self._delay.wait(self._latency(script, call_number), attempt):
            raise deadline_exceeded(attempt)
        call_number = _raise_injected_error(attempt, script, call_number)
        answer = await choose_answer(attempt, prompt, script, pace)
        rate = script.rate or self._options.rate
        playback = Playback(attempt, script, answer, call_number, rate, self._delay, pace)
        events = playback.events()
        provider, model = attempt.target.key
        metadata = ResponseMetadata(
            attempt.id, attempt.requested_model, provider, model, warnings=attempt.target.warnings
        )
        if attempt.is_streamed:
            return ResponseStream(metadata, _PlaybackSource(await anext(events), events, playback))
        async with aclosing(events):
            return ResponseStream.of(metadata, [event async for event in events])

    def pace(self) -> Pace:
        """Return the pace of one call."""
        return Pace(self._line)

    async def probe(self) -> None:
        """Succeed always."""

    async def aclose(self) -> None:
        """Do nothing: the mock provider holds no connections."""

    async def _select_script(self, attempt: Attempt[Any], prompt: Prompt, pace: Pace) -> Script:
        rounds = (await self._parsed_script(attempt, prompt, pace)).rounds
        return rounds[prompt.tool_round] if prompt.tool_round < len(rounds) else Script()

    async def _parsed_script(self, attempt: Attempt[Any], prompt: Prompt, pace: Pace) -> ParsedScript:
        unknown = set(attempt.target.options) - ALLOWED_OPTIONS
        if unknown:
            raise _invalid_options(f"must contain only 'script' for the mock provider, got {quoted(min(unknown))}")
        script = attempt.target.options.get("script")
        if isinstance(script, str):
            return await parse_untrusted_script(script, self._options.max_answer_length, pace, text_is_reply=True)
        if script is not None:
            raise _invalid_options(f"must contain a string as 'script', got {type(script).__name__!r}")
        if prompt.script.is_scripted:
            return prompt.script
        for match, parsed in self._configured_scripts:
            if await contains(prompt.text, match, pace):
                return parsed
        return ParsedScript((Script(),))

    def _latency(self, script: Script, call_number: int) -> float:
        latency = script.latency
        if latency is None or latency.seconds is None or not latency.applies_to(call_number):
            return self._options.latency
        return latency.seconds


def _raise_injected_error(attempt: Attempt[Any], script: Script, call_number: int) -> int:
    """Raise the error that applies to the call, or return the call number among the calls without an error."""
    for injected in script.errors:
        if injected.times is None or call_number <= injected.times:
            provider, model = attempt.target.key
            raise injected.error_type(
                f"The mock provider failed with {injected.error_type.spec.reason}, as scripted.",
                provider=provider,
                model=model,
                retry_after=injected.retry_after,
            )
        call_number -= injected.times
    return call_number


def _invalid_options(description: str) -> InvalidRequest:
    field = "provider_options_json"
    return InvalidRequest(f"{field} {description}.", violations=(FieldViolation(field, description),))


class _PlaybackSource:
    """The events of one streamed playback, one per read."""

    def __init__(self, first: Event, events: AsyncGenerator[Event, None], playback: Playback) -> None:
        self.buffered: list[Event] = [first]
        self._events = events
        self.usage_so_far = playback.usage_so_far

    async def read(self) -> list[Event]:
        batch, self.buffered = self.buffered, []
        if not batch:
            event = await anext(self._events, None)
            batch = [] if event is None else [event]
        if batch and type(batch[-1]) is Finished:
            await self._events.aclose()
        return batch

    async def aclose(self) -> None:
        self.buffered = []
        await self._events.aclose()
