"""Generate the response of the mock provider token by token, at its scripted rate and with its injected faults."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from ...core.content import Part, Reasoning, Text, ToolCall
from ...core.errors import DeadlineExceeded, GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.handler import Clock
from ...core.request import Attempt
from ...core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    TextDelta,
    ToolCallDelta,
)
from ...core.usage import Usage
from .answers import Answer
from .pace import Pace
from .prompt import provider_state_for
from .script import HiddenReasoning, Script, ScriptPart, Words
from .tokens import fragments, words

SINGLE_TOKENS = 100
"""Tokens of a response without rate and faults that arrive one by one. Those after them arrive together, which costs
less."""

TOKENS_PER_DELTA = 100


class Delay:
    """Wait no longer than the deadline of a call. `clock` is the clock of deadlines, `sleep` sleeps on it."""

    def __init__(self, clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep

    async def wait(self, seconds: float | None, attempt: Attempt[Any]) -> bool:
        """Sleep for `seconds`, or until the deadline if None. Return False if the deadline was reached."""
        remaining = attempt.deadline - self._clock()
        delay = remaining if seconds is None else min(seconds, remaining)
        with attempt.upstream_timer.measure():
            if delay > 0:
                await self._sleep(delay)
        return seconds is not None and seconds < remaining


class Playback:
    """The playback of one answer. `call_number` selects the faults that apply; `rate` is in tokens per second.

    The events of a response that is not streamed are its parts and its end.
    """

    def __init__(
        self,
        attempt: Attempt[Any],
        script: Script,
        answer: Answer,
        call_number: int,
        rate: float | None,
        delay: Delay,
        pace: Pace,
    ) -> None:
        self._attempt = attempt
        self._answer = answer
        self._cut = script.cut if script.cut and script.cut.applies_to(call_number) else None
        self._stall = script.stall if script.stall and script.stall.applies_to(call_number) else None
        self._token_seconds = 1 / rate if rate else 0.0
        self._max_tokens = attempt.target.sampling.max_output_tokens
        self._delay = delay
        self._pace = pace
        self._emitted_tokens = 0
        self._reasoning_tokens = 0
        self._finished: Finished | None = None

    def usage_so_far(self) -> Usage:
        """Return the usage of the tokens emitted so far."""
        return self._emitted_usage() if self._finished is None else self._finished.usage

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield all events. Raises the injected faults, and an error once the deadline is reached."""
        index, natural_reason = 0, FinishReason.STOP
        for part in self._answer.parts:
            content = _Content(part, index, f"call_{len(self._attempt.messages)}_{index}")
            pending: list[str] = []
            for token in content.tokens():
                if self._emitted_tokens == self._max_tokens:
                    natural_reason = FinishReason.MAX_TOKENS
                    break
                await self._before_token()
                self._emitted_tokens += 1
                self._reasoning_tokens += content.is_reasoning
                content.accept(token)
                pending.append(token)
                if self._attempt.is_streamed and self._is_delta_due(pending):
                    yield content.delta("".join(pending))
                    pending.clear()
            if self._attempt.is_streamed and pending:
                yield content.delta("".join(pending))
            completed = content.completed_part()
            if completed is not None:
                yield PartCompleted(index, completed)
                index += 1
            if natural_reason is FinishReason.MAX_TOKENS:
                break
            if isinstance(part, ToolCall):
                natural_reason = FinishReason.TOOL_CALLS
        self._finished = self._finish(natural_reason)
        await self._inject_faults(at_end=True)
        yield self._finished

    def _is_delta_due(self, pending: list[str]) -> bool:
        is_steady = bool(self._token_seconds) or self._cut is not None or self._stall is not None
        return is_steady or self._emitted_tokens <= SINGLE_TOKENS or len(pending) == TOKENS_PER_DELTA

    async def _before_token(self) -> None:
        """Inject the faults before a token, and wait as long as it takes to generate."""
        if self._cut is not None or self._stall is not None:
            await self._inject_faults(at_end=False)
        if self._token_seconds or not self._emitted_tokens:
            seconds = self._token_seconds if self._emitted_tokens else 0.0
        elif self._pace.is_due():
            await self._pace.pause()
            seconds = 0.0
        else:
            return
        if not await self._delay.wait(seconds, self._attempt):
            raise self._deadline_error()

    def _finish(self, natural_reason: FinishReason) -> Finished:
        answer = self._answer
        reason = answer.finish or natural_reason
        provider_reason = "stop_sequence" if answer.is_stopped and reason is FinishReason.STOP else reason.value
        usage = answer.usage if answer.has_scripted_usage else self._emitted_usage()
        return Finished(reason, provider_reason, usage)

    def _emitted_usage(self) -> Usage:
        return replace(self._answer.usage, output_tokens=self._emitted_tokens, reasoning_tokens=self._reasoning_tokens)

    async def _inject_faults(self, *, at_end: bool) -> None:
        if self._cut is not None and (at_end or self._emitted_tokens == self._cut.after_tokens):
            raise self._cut_error()
        stall = self._stall
        if stall is not None and (at_end or self._emitted_tokens == stall.after_tokens):
            self._stall = None
            if not await self._delay.wait(stall.seconds, self._attempt):
                raise self._deadline_error()

    def _cut_error(self) -> GatewayError:
        if self._has_shown_content():
            return self._interruption("connection cut by the script")
        provider, model = self._attempt.target.key
        message = "The mock provider cut the connection before the first content, as scripted."
        return ProviderProtocolError(message, provider=provider, model=model)

    def _deadline_error(self) -> GatewayError:
        if not self._has_shown_content():
            return deadline_exceeded(self._attempt)
        error = self._interruption("deadline exceeded")
        error.__cause__ = deadline_exceeded(self._attempt)
        return error

    def _has_shown_content(self) -> bool:
        return self._attempt.is_streamed and self._emitted_tokens > 0

    def _interruption(self, reason: str) -> StreamInterrupted:
        provider, model = self._attempt.target.key
        message = f"Mock stream interrupted after {self._emitted_tokens} tokens: {reason}."
        return StreamInterrupted(message, provider=provider, model=model, usage=self._emitted_usage())


class _Content:
    """The content of one part: its tokens, and the part that the emitted ones amount to."""

    def __init__(self, part: ScriptPart, index: int, call_id: str) -> None:
        self._part = part
        self._index = index
        self._call_id = call_id
        self._has_begun = self._has_header = False
        self._length = 0
        self._words: list[str] = []
        self.is_reasoning = isinstance(part, Reasoning | HiddenReasoning)

    def tokens(self) -> Iterator[str]:
        """Yield the tokens, each when it is needed. The header of a tool call and hidden reasoning have no text."""
        match self._part:
            case Text(text) | Reasoning(text):
                return words(text)
            case Words():
                return iter(self._part)
            case HiddenReasoning(tokens):
                return repeat("", tokens)
            case ToolCall():
                return chain(("",), fragments(self._part.arguments_json))

    def delta(self, text: str) -> Event:
        """Return the next delta, with the text of one or more tokens."""
        match self._part:
            case Text() | Words():
                return TextDelta(self._index, text)
            case Reasoning():
                return ReasoningDelta(self._index, text)
            case HiddenReasoning():
                return ReasoningProgress()
            case ToolCall():
                header = ("", "") if self._has_header else (self._call_id, self._part.name)
                self._has_header = True
                return ToolCallDelta(self._index, *header, text)

    def accept(self, token: str) -> None:
        """Add an emitted token."""
        self._has_begun = True
        self._length += len(token)
        if isinstance(self._part, Words):
            self._words.append(token)

    def completed_part(self) -> Part | None:
        """Return the part with the content emitted so far, None if nothing of it is visible."""
        if not self._has_begun:
            return None
        match self._part:
            case Text(text):
                return Text(text[: self._length])
            case Words():
                return Text("".join(self._words))
            case Reasoning(text):
                shown = text[: self._length]
                return Reasoning(shown, provider_state=provider_state_for(shown))
            case ToolCall():
                return ToolCall(self._call_id, self._part.name, self._part.arguments_json[: self._length])
            case HiddenReasoning():
                return None


def deadline_exceeded(attempt: Attempt[Any]) -> DeadlineExceeded:
    """Return the error for a deadline reached before the first content."""
    provider, model = attempt.target.key
    message = "Deadline exceeded before the mock provider began to respond."
    return DeadlineExceeded(message, provider=provider, model=model)
