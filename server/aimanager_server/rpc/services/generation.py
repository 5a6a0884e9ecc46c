"""Answers GenerationService: reads the question, has it decided and answered, writes the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceServicer, add_GenerationServiceServicer_to_server

from ...core.errors import StreamInterrupted
from ...core.handler import Clock, Handler
from ...core.request import Call, Caller, GenerateParams
from ...core.response import Finished, ReasoningProgress, ResponseBuilder, ResponseStream
from ..context import CURRENT, Rpc
from ..convert import requests as wire_read
from ..convert import responses as wire_write
from ..convert import timeouts as wire_patience
from ..deadlines import allowance, deadline_in
from ..stream_writer import Outlet


class Resolve(Protocol):
    """Decides what a question means."""

    def __call__(
        self,
        ask: GenerateParams,
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
            # gRPC itself ends the call at its caller's deadline, and a timer of our own costs 3 % of it.
            return await self._whole(request, rpc, deadline_in(remaining, self._clock))
        async with allowance(rpc, self._timeouts.unary, self._clock) as deadline:
            return await self._whole(request, rpc, deadline)

    async def StreamGenerate(  # type: ignore[override]  # writes itself: a heartbeat may come before there is anything to yield
        self, request: generation_pb2.StreamGenerateRequest, context: Any
    ) -> None:
        """The answer while it is written."""
        rpc = CURRENT.get()
        async with (
            allowance(rpc, self._timeouts.stream, self._clock) as deadline,
            Outlet(rpc, self._interval(request)) as outlet,
        ):
            restarts = wire_patience.restarts(request.on_interruption)
            call = self._call(request.request, rpc, deadline, streaming=True, restarts=restarts)
            reply = await self._handler(call)
            try:
                await _tell(reply, outlet)
            finally:
                await _put_down(reply)

    async def _whole(
        self, request: generation_pb2.GenerateRequest, rpc: Rpc, deadline: float
    ) -> generation_pb2.GenerateResponse:
        reply = await self._handler(self._call(request, rpc, deadline, streaming=False))
        return wire_write.response(await reply.result())

    def _call(
        self,
        request: generation_pb2.GenerateRequest,
        rpc: Rpc,
        deadline: float,
        *,
        streaming: bool,
        restarts: bool = False,
    ) -> Call:
        call = self._resolve(
            wire_read.ask(request, self._limits, restarts=restarts),
            rpc.caller,
            id=rpc.id,
            deadline=deadline,
            streaming=streaming,
            trace=rpc.trace,
        )
        rpc.spent = call.usage_ledger.usage
        return call

    def _interval(self, request: generation_pb2.StreamGenerateRequest) -> float:
        if not request.HasField("heartbeat_interval"):
            return self._timeouts.heartbeat
        shortest, longest = self._timeouts.shortest_heartbeat, self._timeouts.stream
        return min(wire_read.interval(request.heartbeat_interval, shortest, "heartbeat_interval"), longest)


async def _tell(reply: ResponseStream, outlet: Outlet) -> None:
    collected = ResponseBuilder()
    await outlet.send(wire_write.started(reply.metadata))
    async for event in reply:
        collected.add(event)
        if not isinstance(event, Finished | ReasoningProgress):
            await outlet.send(wire_write.event(event))
    if collected.finished is None:
        raise StreamInterrupted("The answer ended without its end.", provider=reply.metadata.provider)
    await outlet.send(wire_write.completed(collected.result(reply.metadata)))


async def _put_down(reply: ResponseStream) -> None:
    """Close the events here, in this task's context, and then what they came from."""
    events = aiter(reply)
    try:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    finally:
        await reply.aclose()
