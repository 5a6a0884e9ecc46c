"""Holds one target to its time: to its first content, from one piece of content to the next, and to the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from math import inf

from ..core.errors import DeadlineExceeded, FirstTokenTimeout, GatewayError, ProviderTimeout, StreamInterrupted
from ..core.handler import Handler
from ..core.request import Call, StreamTimeouts
from ..core.response import (
    Event,
    Finished,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    ResponseStream,
    TextDelta,
    ToolCallDelta,
)


class Pace:
    """The layer around a provider. What counts is content: a provider that only sends signs of life is silent.

    Raises FirstTokenTimeout before the first content, StreamInterrupted after it.
    """

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Answer in time."""
        reply = await (
            proceed(call) if call.first_token_timeout is None else _begun(call, call.first_token_timeout, proceed)
        )
        if not call.is_upstream_streamed:
            return reply
        watched = _Watched(reply, call)

        async def close() -> None:
            watched.stop()
            await reply.aclose()

        return ResponseStream(reply.metadata, watched, close, reply.usage_so_far)


async def _begun(call: Call, seconds: float, proceed: Handler) -> ResponseStream:
    due = asyncio.get_running_loop().time() + seconds
    if due >= call.deadline:
        return await proceed(call)  # which keeps the deadline itself
    try:
        async with asyncio.timeout_at(due):
            return await proceed(call)
    except TimeoutError as error:
        target = call.target
        raise FirstTokenTimeout(
            f"{target.provider}/{target.model} did not begin to answer within {seconds:g} seconds.",
            provider=target.provider,
            model=target.model,
        ) from error


class _Watched:
    """The events of one answer. One timer an answer, not one a read: it looks whether somebody still waits.

    Only the time spent waiting on the provider counts, not that in which the caller takes its own.
    """

    __slots__ = (
        "_call",
        "_events",
        "_has_ended",
        "_idle",
        "_late",
        "_looks_at",
        "_loop",
        "_patience",
        "_reply",
        "_since",
        "_timer",
        "_waiting",
    )

    def __init__(self, reply: ResponseStream, call: Call) -> None:
        self._reply = reply
        self._events: AsyncIterator[Event] = aiter(reply)
        self._call = call
        self._patience = call.target.timeouts
        self._idle = self._patience.reasoning
        self._loop = asyncio.get_running_loop()
        self._since = 0.0
        self._looks_at = inf
        self._late = False
        self._has_ended = False
        self._waiting: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __aiter__(self) -> _Watched:
        return self

    async def __anext__(self) -> Event:
        if self._has_ended:
            return await anext(self._events)  # what is left is the provider's parting, not the answer's
        task = self._waiting = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        now = self._since = self._loop.time()
        due = min(now + self._idle, self._call.deadline)
        if due < self._looks_at:
            self._look_at(due)
        try:
            event = await anext(self._events)
        except asyncio.CancelledError:
            self.stop()
            if self._late and task.uncancel() <= cancelled:
                raise await self._interrupted() from self._cause()
            raise
        except BaseException:
            self.stop()
            raise
        self._waiting = None
        if type(event) is Finished:
            self._has_ended = True
            self.stop()
        else:
            self._idle = idle_after(event, self._patience, thinks=self._call.target.is_reasoning)
        return event

    def stop(self) -> None:
        """Look no more."""
        self._waiting = None
        self._looks_at = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        due = min(self._since + self._idle, self._call.deadline)
        if self._waiting is None:
            self._look_at(now + self._idle)
        elif now < due:
            self._look_at(due)
        else:
            self._late = True
            self._waiting.cancel()

    def _look_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _cause(self) -> GatewayError:
        if self._loop.time() >= self._call.deadline:
            return DeadlineExceeded("The deadline passed within the answer.")
        return ProviderTimeout(f"No content came for {self._idle:g} seconds.")

    async def _interrupted(self) -> StreamInterrupted:
        await self._reply.aclose()
        target = self._call.target
        fault = StreamInterrupted(
            f"The answer broke off after it had begun: {self._cause().message}",
            provider=target.provider,
            model=target.model,
        )
        fault.usage = self._reply.usage_so_far()
        return fault


def idle_after(event: Event, patience: StreamTimeouts, *, thinks: bool) -> float:
    """Seconds without content that are borne after this event. Between parts a model that thinks may do so unseen."""
    kind = type(event)
    if kind is TextDelta:
        return patience.text
    if kind is ToolCallDelta:
        return patience.tool_call
    if kind is ReasoningDelta or kind is ReasoningProgress:
        return patience.reasoning
    return patience.reasoning if thinks and kind is PartCompleted else patience.text
