"""EmbeddingService: parses the inputs, resolves and embeds them, and returns the vectors."""

from __future__ import annotations

from typing import Any

import grpc

from aimanager.v1 import embedding_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceServicer, add_EmbeddingServiceServicer_to_server

from ...core.handler import Clock
from ...operations.embed import CreateEmbeddings
from ...routing.embedding_resolver import EmbeddingResolver
from ..context import current_rpc
from ..convert.requests import parse_embed_request
from ..convert.responses import embed_response_to_proto
from ..deadlines import CallDeadline


class EmbeddingService(EmbeddingServiceServicer):
    """Implement Embed. `timeout_seconds` limits every call; deadlines are on `clock`."""

    name = "aimanager.v1.EmbeddingService"

    def __init__(
        self,
        create_embeddings: CreateEmbeddings,
        resolver: EmbeddingResolver,
        timeout_seconds: float,
        max_inputs: int,
        clock: Clock,
    ) -> None:
        self._create_embeddings = create_embeddings
        self._resolver = resolver
        self._timeout_seconds = timeout_seconds
        self._max_inputs = max_inputs
        self._clock = clock

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_EmbeddingServiceServicer_to_server(self, server)

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> embedding_pb2.EmbedResponse:
        """Return one vector per input, in order."""
        rpc = current_rpc.get()
        async with CallDeadline(rpc, self._timeout_seconds, self._clock) as deadline:
            params = parse_embed_request(request, self._max_inputs)
            call = self._resolver.resolve(
                params, rpc.caller, id=rpc.id, deadline=deadline, traceparent=rpc.traceparent, hops=rpc.hops
            )
            rpc.attempts = call.attempts
            return embed_response_to_proto(await self._create_embeddings(call))
