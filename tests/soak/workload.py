"""The mixed load of a soak: every kind of call that leaves something behind if a part of the server leaks."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from aimanager.v1 import content_pb2, conversation_pb2, embedding_pb2, generation_pb2
from aimanager.v1.conversation_pb2_grpc import ConversationServiceStub
from aimanager.v1.embedding_pb2_grpc import EmbeddingServiceStub
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub

MODEL = "mock/mock-large"
FILLERS = 16
"""Calls at once that fill the stores."""

TURNS = 8
"""Turns of a conversation before it is deleted, so that the database does not grow."""


class Workload:
    """Callers of one server. `counts` has the number of calls by kind, `unexpected` the failures nobody asked for."""

    def __init__(self, target: str, seed: int) -> None:
        self._channel = grpc.aio.insecure_channel(target)
        self._generation: Any = GenerationServiceStub(self._channel)
        self._conversations: Any = ConversationServiceStub(self._channel)
        self._embeddings: Any = EmbeddingServiceStub(self._channel)
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()

    async def run(self, ended: asyncio.Event, pause: float) -> None:
        """Send one call after the other, with a pause in between, until `ended` is set."""
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "unary": self._unary,
            "stream": self._stream,
            "cancel": self._cancel,
            "error": self._error,
            "embedding": self._embed,
            "idempotent": self._idempotent,
            "conversation": self._conversation,
        }
        while not ended.is_set():
            kind = self._random.choice(tuple(kinds))
            try:
                await kinds[kind]()
            except grpc.aio.AioRpcError as error:
                self.unexpected[f"{kind}: {error.code().name}: {error.details()}"[:160]] += 1
            self.counts[kind] += 1
            await asyncio.sleep(pause)

    async def fill(self, calls: int) -> None:
        """Send so many short calls for each model, as fast as the server answers them or rejects them as overloaded."""
        remaining = iter(range(calls))

        async def send() -> None:
            for _ in remaining:
                with suppress(grpc.aio.AioRpcError):
                    await self._unary()
                    await self._embed()

        await asyncio.gather(*(send() for _ in range(FILLERS)))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _unary(self) -> None:
        await self._generation.Generate(_request(f"Question {secrets.token_hex(8)}"))

    async def _stream(self) -> None:
        async for _ in self._generation.StreamGenerate(_streamed("[[words: 30]]")):
            pass

    async def _cancel(self) -> None:
        call = self._generation.StreamGenerate(_streamed("[[words: 500]] [[rate: 50]]"))
        await call.read()
        call.cancel()

    async def _error(self) -> None:
        for request in (
            _request("Hi", model="mock/missing-model"),
            _request("[[error: PROVIDER_RATE_LIMITED]]", model="mock/mock-medium"),
        ):
            try:
                await self._generation.Generate(request)
            except grpc.aio.AioRpcError:
                continue

    async def _embed(self) -> None:
        request = embedding_pb2.EmbedRequest(model="mock/mock-embedding", inputs=["one", "two"])
        await self._embeddings.Embed(request)

    async def _idempotent(self) -> None:
        request = _request("Hi", idempotency_key=secrets.token_hex(16))
        await asyncio.gather(self._generation.Generate(request), self._generation.Generate(request))

    async def _conversation(self) -> None:
        created = await self._conversations.CreateConversation(conversation_pb2.CreateConversationRequest(title="Soak"))
        conversation_id = created.conversation.id
        for number in range(TURNS):
            await self._generation.Generate(_request(f"Turn {number}", conversation_id=conversation_id))
        await self._conversations.DeleteConversation(
            conversation_pb2.DeleteConversationRequest(conversation_id=conversation_id)
        )


def _request(text: str, model: str = MODEL, **fields: Any) -> generation_pb2.GenerateRequest:
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text=text)])
    return generation_pb2.GenerateRequest(model=model, messages=[message], **fields)


def _streamed(text: str) -> generation_pb2.StreamGenerateRequest:
    return generation_pb2.StreamGenerateRequest(request=_request(text))
