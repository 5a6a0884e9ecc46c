"""Enforce the timeouts of one attempt: first token, idle, and the call's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from math import inf
from typing import Any

from ..core.errors import DeadlineExceeded, FirstTokenTimeout, GatewayError, ProviderTimeout, StreamInterrupted
from ..core.handler import AttemptHandler
from ..core.request import Attempt, StreamTimeouts
from ..core.response import Event, PartCompleted, ReasoningDelta, ReasoningProgress, TextDelta, ToolCallDelta
from ..core.stream import Outcome, ResponseStream, StreamObserver


class EnforceTimeouts:
    """Enforce the first-token timeout and, for streams, the idle timeouts.

    Only content resets a timeout, not keep-alives. Raises FirstTokenTimeout before the first content, StreamInterrupted
    after it, and DeadlineExceeded at the deadline of the call.
    """

    def __call__(self, attempt: Attempt[Any], proceed: AttemptHandler) -> Awaitable[ResponseStream]:
        """Return the response, timed while it is read."""
        is_timed = attempt.is_streamed or attempt.first_token_timeout is not None
        return _timed(attempt, proceed) if is_timed else proceed(attempt)


async def _timed(attempt: Attempt[Any], proceed: AttemptHandler) -> ResponseStream:
    if attempt.first_token_timeout is None:
        stream = await proceed(attempt)
    else:
        stream = await _first_content_within(attempt.first_token_timeout, attempt, proceed)
    if attempt.is_streamed:
        stream.observed_by(_IdleTimer(attempt, stream))
    return stream


async def _first_content_within(seconds: float, attempt: Attempt[Any], proceed: AttemptHandler) -> ResponseStream:
    due = asyncio.get_running_loop().time() + seconds
    if due >= attempt.deadline:
        return await proceed(attempt)  # the provider enforces the deadline
    try:
        async with asyncio.timeout_at(due):
            return await proceed(attempt)
    except TimeoutError as error:
        provider, model = attempt.target.key
        message = f"No content from {provider}/{model} within {seconds:g} s."
        raise FirstTokenTimeout(message, provider=provider, model=model) from error


class _IdleTimer(StreamObserver):
    """Fail a stream whose provider is silent for too long, or that outlives the deadline.

    One timer per stream is checked and moved, not one per read. Time counts only while a read waits for the provider,
    not while the caller processes events.
    """

    __slots__ = ("_attempt", "_check_at", "_idle_timeout", "_loop", "_stream", "_timeouts", "_timer")

    def __init__(self, attempt: Attempt[Any], stream: ResponseStream) -> None:
        self._attempt = attempt
        self._stream = stream
        self._timeouts = attempt.target.timeouts
        self._idle_timeout = self._timeouts.reasoning
        self._loop = asyncio.get_running_loop()
        self._check_at = inf
        self._timer: asyncio.TimerHandle | None = None
        for event in reversed(stream.buffered):
            self._idle_timeout = self._timeout_after(event)
            break
        self._schedule_check(min(self._loop.time() + self._idle_timeout, attempt.deadline))

    def on_events(self, events: list[Event]) -> None:
        if not events:
            return
        self._idle_timeout = self._timeout_after(events[-1])
        due = self._loop.time() + self._idle_timeout
        if due < self._check_at:
            self._schedule_check(due)

    def on_end(self, outcome: Outcome) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _timeout_after(self, event: Event) -> float:
        return idle_timeout_after(event, self._timeouts, is_reasoning=self._attempt.target.is_reasoning)

    def _check(self) -> None:
        now, since = self._loop.time(), self._stream.waiting_since
        if since is None:
            self._schedule_check(now + self._idle_timeout)
            return
        due = min(since + self._idle_timeout, self._attempt.deadline)
        if now < due:
            self._schedule_check(due)
        else:
            self._stream.fail(self._failure(now))

    def _schedule_check(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._check_at = due
        self._timer = self._loop.call_at(due, self._check)

    def _failure(self, now: float) -> GatewayError:
        provider, model = self._attempt.target.key
        if now >= self._attempt.deadline:
            message = "Deadline exceeded before the response was complete."
            return DeadlineExceeded(message, provider=provider, model=model)
        cause = ProviderTimeout(f"No content for {self._idle_timeout:g} s.")
        message = f"Stream interrupted after the first content: {cause.message}"
        error = StreamInterrupted(message, provider=provider, model=model)
        error.__cause__ = cause
        return error


def idle_timeout_after(event: Event, timeouts: StreamTimeouts, *, is_reasoning: bool) -> float:
    """Return the idle timeout after an event, in seconds. A reasoning model may reason unseen between parts."""
    kind = type(event)
    if kind is TextDelta:
        return timeouts.text
    if kind is ToolCallDelta:
        return timeouts.tool_call
    if kind is ReasoningDelta or kind is ReasoningProgress:
        return timeouts.reasoning
    return timeouts.reasoning if is_reasoning and kind is PartCompleted else timeouts.text
