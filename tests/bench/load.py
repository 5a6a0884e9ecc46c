"""Asks a server in one pattern, a bounded number of times, and makes sure that every answer is whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc

from aimanager.v1 import content_pb2, generation_pb2, generation_pb2_grpc

from .shape import ANSWER, BURST, PACED, TOKENS, UNARY

TOKEN_OF_CALLER = "bench-caller-token"
CREDENTIALS = (("authorization", f"Bearer {TOKEN_OF_CALLER}"),)
LIMIT_SECONDS = 60.0


class Load:
    """A client of the server at `address`; use it as an async context manager."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._ask = generation_pb2_grpc.GenerationServiceStub(self._channel)

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def unary(self, calls: int, concurrency: int) -> int:
        """Whole answers, `concurrency` at a time. Returns how many."""
        return await _spread(self._one_unary, calls, concurrency)

    async def burst(self, calls: int, concurrency: int) -> int:
        """Streams that the provider sends in one piece. Returns the tokens received."""
        return await _spread(lambda: self._one_stream(BURST), calls, concurrency) * TOKENS

    async def paced(self, calls: int, concurrency: int) -> int:
        """Streams with a token every 20 ms. Returns the tokens received."""
        return await _spread(lambda: self._one_stream(PACED), calls, concurrency) * TOKENS

    async def latencies(self, calls: int) -> list[float]:
        """Seconds of each of so many whole answers, one after the other."""
        taken = []
        for _ in range(calls):
            began = time.perf_counter()
            await self._one_unary()
            taken.append(time.perf_counter() - began)
        return taken

    async def _one_unary(self) -> None:
        answer = await self._ask.Generate(_request(UNARY), metadata=CREDENTIALS, timeout=LIMIT_SECONDS)
        assert answer.message.parts[0].text == ANSWER, answer

    async def _one_stream(self, model: str) -> None:
        request = generation_pb2.StreamGenerateRequest(request=_request(model))
        pieces, completed = [], 0
        async for event in self._ask.StreamGenerate(request, metadata=CREDENTIALS, timeout=LIMIT_SECONDS):
            pieces.append(event.delta.text)
            completed += event.HasField("completed")
        assert "".join(pieces) == ANSWER, pieces
        assert completed == 1


def _request(model: str) -> generation_pb2.GenerateRequest:
    part = content_pb2.Part(text="Write a hundred words.")
    return generation_pb2.GenerateRequest(
        model=f"bench/{model}", messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[part])]
    )


async def _spread(once: Callable[[], Awaitable[None]], calls: int, concurrency: int) -> int:
    async def share(count: int) -> None:
        for _ in range(count):
            await once()

    await asyncio.gather(*(share(calls // concurrency) for _ in range(concurrency)))
    return calls // concurrency * concurrency


async def direct_latencies(port: int, calls: int) -> list[float]:
    """Seconds of each of so many whole answers straight from the upstream, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"model":"unary","messages":[{"role":"user","content":"Write a hundred words."}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n" % len(body)
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        taken.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()
    return taken
