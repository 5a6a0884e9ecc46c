"""Play back a mock response token by token, at its scripted rate and with its injected faults."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from ...core.errors import DeadlineExceeded, GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.handler import Clock
from ...core.request import Attempt
from ...core.response import Event, PartCompleted
from ...core.usage import Usage
from .answers import MockResponse
from .script import Script


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
    """The playback of one response. `call_number` selects the faults that apply; `rate` is in tokens per second."""

    def __init__(
        self, attempt: Attempt[Any], script: Script, response: MockResponse, call_number: int, rate: float | None
    ) -> None:
        self._attempt = attempt
        self._response = response
        self._cut = script.cut if script.cut and script.cut.applies_to(call_number) else None
        self._stall = script.stall if script.stall and script.stall.applies_to(call_number) else None
        self._rate = rate
        self._emitted_tokens = 0

    def usage_so_far(self) -> Usage:
        """Return the usage of the tokens emitted so far."""
        total = sum(not isinstance(event, PartCompleted) for event in self._response.events)
        is_complete = self._emitted_tokens == total
        return self._response.finished.usage if is_complete else self._response.usage(self._emitted_tokens)

    async def events(self, delay: Delay) -> AsyncGenerator[Event, None]:
        """Yield all events. Raises the injected faults, and an error once the deadline is reached."""
        for event in self._response.events:
            if not isinstance(event, PartCompleted):
                await self._inject_faults(delay, at_end=False)
                if not await delay.wait(1 / self._rate if self._rate and self._emitted_tokens else 0.0, self._attempt):
                    raise self._deadline_error()
                self._emitted_tokens += 1
            yield event
        await self._inject_faults(delay, at_end=True)
        yield self._response.finished

    async def _inject_faults(self, delay: Delay, *, at_end: bool) -> None:
        if self._cut is not None and (at_end or self._emitted_tokens == self._cut.after_tokens):
            raise self._cut_error()
        stall = self._stall
        if stall is not None and (at_end or self._emitted_tokens == stall.after_tokens):
            self._stall = None
            if not await delay.wait(stall.seconds, self._attempt):
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
        usage = self._response.usage(self._emitted_tokens)
        return StreamInterrupted(message, provider=provider, model=model, usage=usage)


def deadline_exceeded(attempt: Attempt[Any]) -> DeadlineExceeded:
    """Return the error for a deadline reached before the first content."""
    provider, model = attempt.target.key
    message = "Deadline exceeded before the mock provider began to respond."
    return DeadlineExceeded(message, provider=provider, model=model)
