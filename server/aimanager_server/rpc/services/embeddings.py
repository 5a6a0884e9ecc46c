"""Answers EmbeddingService: reads the texts, has vectors made of them, writes the vectors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc

from aimanager.v1 import embedding_pb2
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceServicer, add_EmbeddingServiceServicer_to_server

from ...core.embedding import EmbedCall, EmbeddingPurpose, EmbedParams, EmbedResult
from ...core.handler import Clock
from ...core.request import Caller
from ..context import CURRENT
from ..convert import responses as wire_write
from ..convert.fields import accepted, refused, said, text
from ..convert.requests import provider_options
from ..deadlines import allowance

PURPOSES = {
    embedding_pb2.EmbeddingPurpose.Value(f"EMBEDDING_PURPOSE_{purpose.name}"): purpose for purpose in EmbeddingPurpose
}


class Resolve(Protocol):
    """Decides what is to be embedded."""

    def __call__(
        self,
        ask: EmbedParams,
        caller: Caller,
        *,
        id: str,  # noqa: A002  # as Call names it
        deadline: float,
        trace: str,
    ) -> EmbedCall:
        """The call, or a Fault where it cannot be."""
        ...


class EmbeddingService(EmbeddingServiceServicer):
    """Embed. `longest` is in seconds, `most` the inputs of one request, `clock` the one that deadlines are on."""

    name = "aimanager.v1.EmbeddingService"

    def __init__(
        self,
        embed: Callable[[EmbedCall], Awaitable[EmbedResult]],
        resolve: Resolve,
        longest: float,
        most: int,
        clock: Clock,
    ) -> None:
        self._embed = embed
        self._resolve = resolve
        self._longest = longest
        self._most = most
        self._clock = clock

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that is not started yet."""
        add_EmbeddingServiceServicer_to_server(self, server)

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> embedding_pb2.EmbedResponse:
        """A vector for each input, in order."""
        rpc = CURRENT.get()
        async with allowance(rpc, self._longest, self._clock) as deadline:
            ask = read_ask(request, self._most)
            call = self._resolve(ask, rpc.caller, id=rpc.id, deadline=deadline, trace=rpc.trace)
            return response(await self._embed(call))


def read_ask(request: embedding_pb2.EmbedRequest, most: int) -> EmbedParams:
    """The texts as the client sent them. Raises InvalidRequest, naming the field."""
    if len(request.inputs) > most:
        raise refused("inputs", f"{len(request.inputs)} are too many; at most {most} are accepted")
    purpose = PURPOSES.get(request.purpose)
    if purpose is None and request.purpose:
        raise refused("purpose", f"{request.purpose} {accepted(embedding_pb2.EmbeddingPurpose)}")
    return EmbedParams(
        inputs=tuple(text(one, f"inputs[{index}]") for index, one in enumerate(request.inputs)),
        model=text(request.model, "model"),
        dimensions=said(request, "dimensions"),
        purpose=purpose,
        provider_options=provider_options(request.provider_options_json),
    )


def response(embedded: EmbedResult) -> embedding_pb2.EmbedResponse:
    """The vectors."""
    written = embedding_pb2.EmbedResponse(
        embeddings=[embedding_pb2.Embedding(values=vector) for vector in embedded.vectors],
        model=f"{embedded.provider}/{embedded.model}",
        usage=wire_write.usage(embedded.usage),
    )
    if embedded.cost is not None:
        written.cost.CopyFrom(wire_write.cost(embedded.cost))
    return written
