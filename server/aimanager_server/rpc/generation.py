"""Answers GenerationService: reads the question, has it decided and answered, writes the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceServicer, add_GenerationServiceServicer_to_server

from ..call import Ask, Call, Caller
from ..errors import DeadlineExceeded, StreamInterrupted
from ..handler import Clock, Handler
from ..reply import Collected, Finished, Reply
from . import wire_read, wire_write
from .outlet import Outlet
from .rpc import CURRENT, Rpc

KEPT_BACK_SECONDS = 0.5
KEPT_BACK_SHARE = 0.1
"""Of a deadline, kept for the way back to the caller: whichever of the two is less."""


class Resolve(Protocol):
    """Decides what a question means."""

    def __call__(
        self,
        ask: Ask,
        caller: Caller,
        *,
        id: str,  # noqa: A002  # as Call names it
        deadline: float,
        streaming: bool,
        trace: str,
    ) -> Call:
        """The call, or a Fault where it cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. A caller's own deadline counts where it is shorter; a heartbeat may not be asked for more often."""

    unary: float = 600.0
    stream: float = 1200.0
    heartbeat: float = 15.0
    shortest_heartbeat: float = 1.0


class GenerationService(GenerationServiceServicer):
    """Generate and StreamGenerate over one handler. `clock` is the one that `Call.deadline` is on."""

    name = "aimanager.v1.GenerationService"

    def __init__(
        self, handler: Handler, resolve: Resolve, limits: wire_read.Limits, timeouts: Timeouts, clock: Clock
    ) -> None:
        self._handler = handler
        self._resolve = resolve
        self._limits = limits
        self._timeouts = timeouts
        self._clock = clock

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that is not started yet."""
        add_GenerationServiceServicer_to_server(self, server)

    async def Generate(self, request: generation_pb2.GenerateRequest, context: Any) -> generation_pb2.GenerateResponse:
        """The whole answer."""
        rpc = CURRENT.get()
        remaining = rpc.context.time_remaining()
        if remaining is not None and remaining <= self._timeouts.unary:
            return await self._whole(request, rpc, remaining)  # gRPC itself ends the call at its caller's deadline
        async with _within(self._timeouts.unary) as seconds:
            return await self._whole(request, rpc, seconds)

    async def StreamGenerate(  # type: ignore[override]  # writes itself: a heartbeat may come before there is anything to yield
        self, request: generation_pb2.StreamGenerateRequest, context: Any
    ) -> None:
        """The answer while it is written."""
        rpc = CURRENT.get()
        async with (
            _within(_allowed(rpc, self._timeouts.stream)) as seconds,
            Outlet(rpc, self._interval(request)) as outlet,
        ):
            reply = await self._handler(self._call(request.request, rpc, seconds, streaming=True))
            try:
                await _tell(reply, outlet)
            finally:
                await _put_down(reply)

    async def _whole(
        self, request: generation_pb2.GenerateRequest, rpc: Rpc, seconds: float
    ) -> generation_pb2.GenerateResponse:
        reply = await self._handler(self._call(request, rpc, seconds, streaming=False))
        return wire_write.response(await reply.completion())

    def _call(self, request: generation_pb2.GenerateRequest, rpc: Rpc, seconds: float, *, streaming: bool) -> Call:
        kept_back = min(KEPT_BACK_SECONDS, seconds * KEPT_BACK_SHARE)
        return self._resolve(
            wire_read.ask(request, self._limits),
            rpc.caller,
            id=rpc.id,
            deadline=self._clock() + seconds - kept_back,
            streaming=streaming,
            trace=rpc.trace,
        )

    def _interval(self, request: generation_pb2.StreamGenerateRequest) -> float:
        if not request.HasField("heartbeat_interval"):
            return self._timeouts.heartbeat
        shortest, longest = self._timeouts.shortest_heartbeat, self._timeouts.stream
        return min(wire_read.interval(request.heartbeat_interval, shortest, "heartbeat_interval"), longest)


def _allowed(rpc: Rpc, longest: float) -> float:
    remaining: float | None = rpc.context.time_remaining()
    return longest if remaining is None else min(remaining, longest)


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[float]:
    """Bounds also what no deadline of the pipeline can: a caller that does not read."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield seconds
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"The call was not done within {seconds:g} seconds.") from None


async def _tell(reply: Reply, outlet: Outlet) -> None:
    collected = Collected()
    await outlet.send(wire_write.started(reply.head))
    async for event in reply:
        collected.add(event)
        if not isinstance(event, Finished):
            await outlet.send(wire_write.event(event))
    if collected.finished is None:
        raise StreamInterrupted("The answer ended without its end.", provider=reply.head.provider)
    await outlet.send(wire_write.completed(collected.completion(reply.head)))


async def _put_down(reply: Reply) -> None:
    """Close the events here, in this task's context, and then what they came from."""
    events = aiter(reply)
    try:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    finally:
        await reply.aclose()
