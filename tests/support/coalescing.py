"""A coalescer in front of an upstream that sends what the test says, and callers that share its responses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from aimanager_server.core.content import Text
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    GenerateResult,
    PartCompleted,
    ResponseMetadata,
    TextDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.resilience.event_log import DEFAULT_LIMITS, LogLimits
from aimanager_server.resilience.request_coalescing import RequestCoalescer
from tests.support.calls import make_call
from tests.support.event_loop import run_ready_tasks
from tests.support.upstream import USAGE

COST = Cost(1000, 2000)
END: list[Event] = [PartCompleted(0, Text("Hello.")), Finished(FinishReason.STOP, "stop", USAGE, COST)]


class Upstream:
    """Sends what the test passes to `send`, batch by batch, to the one call that waits for it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.closed = 0
        self.cancelled = 0
        self.metadata: ResponseMetadata | None = None
        self._queue: asyncio.Queue[list[Event] | Exception] = asyncio.Queue()
        self.buffered: list[Event] = []

    def send(self, *batches: list[Event] | Exception) -> None:
        for batch in batches:
            self._queue.put_nowait(batch)

    @property
    def unread(self) -> int:
        return self._queue.qsize()

    async def __call__(self, call: Call) -> ResponseStream:
        self.calls.append(call)
        record = call.attempts.start(*call.target.key, 0.0)
        try:
            self.buffered = await self._next()
        except BaseException:
            record.end(0.0, "FAILED")
            raise
        self.metadata = ResponseMetadata(
            call.id, call.requested_model, *call.target.key, call.attempts.records, call.target.warnings
        )
        return ResponseStream(self.metadata, self)

    async def read(self) -> list[Event]:
        events, self.buffered = self.buffered, []
        return events or await self._next()

    async def aclose(self) -> None:
        self.closed += 1

    def usage_so_far(self) -> Usage | None:
        return USAGE

    async def _next(self) -> list[Event]:
        try:
            batch = await self._queue.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(batch, Exception):
            raise batch
        return list(batch)


class Coalesced:
    """A coalescer in front of an upstream."""

    def __init__(self, limits: LogLimits = DEFAULT_LIMITS) -> None:
        self.joined = 0
        self.coalescer = RequestCoalescer(self._count, limits)
        self.upstream = Upstream()

    def _count(self) -> None:
        self.joined += 1

    def start(self, key: str = "key", *, deadline: float = 100.0, call_id: str = "call", **fields: Any) -> Caller:
        fields.setdefault("streaming", True)
        call = replace(make_call(deadline=deadline, **fields), id=call_id)
        return Caller(asyncio.create_task(self.coalescer(key, call, self.upstream)))

    async def assert_nothing_left(self) -> None:
        await run_ready_tasks()
        assert (self.coalescer.entries, self.coalescer.size) == (0, 0)
        assert not self.coalescer._joinable
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Caller:
    """One caller: its stream, and what it reads."""

    def __init__(self, task: asyncio.Task[ResponseStream]) -> None:
        self.task = task

    async def read(self) -> list[Event]:
        return await (await self.task).read()

    async def result(self) -> GenerateResult:
        return await (await self.task).result()

    async def text(self) -> str:
        stream, texts = await self.task, []
        async for event in stream:
            texts.append(event.text if isinstance(event, TextDelta) else "")
        return "".join(texts)

    def in_background(self) -> asyncio.Task[str]:
        return asyncio.create_task(self.text())

    async def leave(self) -> None:
        """Leave in whatever phase the call is."""
        if self.task.done():
            await self.task.result().aclose()
        self.task.cancel()
        await run_ready_tasks()


def delta(text: str = "Hello.") -> list[Event]:
    return [TextDelta(0, text)]
