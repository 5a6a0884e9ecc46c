"""GenerationService: parses a request, runs it through the pipeline, and writes the response or the stream."""

from __future__ import annotations

from typing import Any

import grpc

from aimanager.v1 import generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceServicer, add_GenerationServiceServicer_to_server

from ...config.settings import Settings
from ...core.handler import CallHandler, Clock
from ...core.request import Call
from ...core.response import Finished, ReasoningProgress, ResponseBuilder
from ...core.stream import ResponseStream
from ...operations.conversations import Conversations
from ...routing.resolver import Resolver
from ..context import Rpc, current_rpc
from ..convert.requests import parse_generate_request, parse_interruption_policy
from ..convert.responses import event_to_proto, generate_response_to_proto, stream_completed, stream_started
from ..convert.times import parse_interval
from ..deadlines import CallDeadline
from ..stream_writer import StreamWriter

HEARTBEAT_SECONDS = 15.0
"""Heartbeat interval unless the request sets one."""

MIN_HEARTBEAT_SECONDS = 1.0


class GenerationService(GenerationServiceServicer):
    """Implement Generate and StreamGenerate over one handler. Deadlines are on `clock`."""

    name = "aimanager.v1.GenerationService"

    def __init__(
        self,
        handler: CallHandler,
        resolver: Resolver,
        conversations: Conversations,
        settings: Settings,
        clock: Clock,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._handler = handler
        self._resolver = resolver
        self._conversations = conversations
        self._limits = settings.limits
        self._unary_timeout_seconds = settings.server.unary_timeout_seconds
        self._stream_timeout_seconds = settings.server.stream_timeout_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._clock = clock

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_GenerationServiceServicer_to_server(self, server)

    async def Generate(self, request: generation_pb2.GenerateRequest, context: Any) -> generation_pb2.GenerateResponse:
        """Return the complete response."""
        rpc = current_rpc.get()
        async with CallDeadline(rpc, self._unary_timeout_seconds, self._clock) as deadline:
            return await self._generate(request, rpc, deadline)

    async def StreamGenerate(  # type: ignore[override]  # writes its messages itself, since heartbeats interleave
        self, request: generation_pb2.StreamGenerateRequest, context: Any
    ) -> None:
        """Write the response while the provider generates it."""
        rpc = current_rpc.get()
        async with (
            CallDeadline(rpc, self._stream_timeout_seconds, self._clock) as deadline,
            StreamWriter(rpc, self._heartbeat_interval(request)) as writer,
        ):
            may_restart = parse_interruption_policy(request.on_interruption)
            rpc.field_prefix = "request."
            call = await self._resolve(
                request.request, rpc, deadline, streaming=True, restart_on_interruption=may_restart
            )
            stream = await self._handler(call)
            try:
                await _write_stream(stream, writer)
            finally:
                await stream.aclose()

    async def _generate(
        self, request: generation_pb2.GenerateRequest, rpc: Rpc, deadline: float
    ) -> generation_pb2.GenerateResponse:
        stream = await self._handler(await self._resolve(request, rpc, deadline, streaming=False))
        return generate_response_to_proto(await stream.result())

    async def _resolve(
        self,
        request: generation_pb2.GenerateRequest,
        rpc: Rpc,
        deadline: float,
        *,
        streaming: bool,
        restart_on_interruption: bool = False,
    ) -> Call:
        params = parse_generate_request(request, self._limits, restart_on_interruption=restart_on_interruption)
        if params.conversation_id:
            params = await self._conversations.continued(params, rpc.caller)
        call = self._resolver.resolve(
            params,
            rpc.caller,
            id=rpc.id,
            deadline=deadline,
            streaming=streaming,
            traceparent=rpc.traceparent,
            hops=rpc.hops,
        )
        rpc.attempts = call.attempts
        return call

    def _heartbeat_interval(self, request: generation_pb2.StreamGenerateRequest) -> float:
        if not request.HasField("heartbeat_interval"):
            return self._heartbeat_seconds
        seconds = parse_interval(request.heartbeat_interval, MIN_HEARTBEAT_SECONDS, "heartbeat_interval")
        return min(seconds, self._stream_timeout_seconds)


async def _write_stream(stream: ResponseStream, writer: StreamWriter) -> None:
    builder = ResponseBuilder()
    await writer.send(stream_started(stream.metadata))
    while events := await stream.read():
        for event in events:
            builder.add(event)
            if not isinstance(event, Finished | ReasoningProgress):
                await writer.send(event_to_proto(event))
    await writer.send(stream_completed(builder.result(stream.metadata)))
