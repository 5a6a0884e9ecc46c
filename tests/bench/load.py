"""The load generator: send a fixed number of calls in one pattern, and check that every response is complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from aimanager.v1 import content_pb2, generation_pb2, generation_pb2_grpc
from tests.support.tokens import token_of

from .workload import ANSWER, BURST, PACED, TOKENS, UNARY, WAITING

CALLER_TOKEN = token_of("bench")
METADATA = (("authorization", f"Bearer {CALLER_TOKEN}"),)
TIMEOUT_SECONDS = 60.0
IDLE_TIMEOUT_SECONDS = 300
"""Of waiting streams, so that the gateway does not end them during the measurement."""

STREAMS_PER_CONNECTION = 500
STREAMS_OPENED_AT_ONCE = 50
OPEN_ATTEMPTS = 10
REJECTED_SECONDS = 1.0
"""Wait after a rejection: a full garbage collection can exceed the limit of event loop lag on a busy machine."""


class Load:
    """A client of the server at `address`, with one connection; use it as an async context manager."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = generation_pb2_grpc.GenerationServiceStub(self._channel)

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def unary(self, calls: int, concurrency: int) -> int:
        """Make unary calls, `concurrency` in flight. Return their number."""
        return await _spread(self._one_unary, calls, concurrency)

    async def burst(self, calls: int, concurrency: int) -> int:
        """Read streams that the upstream sends at once. Return the number of tokens received."""
        return await _spread(lambda: self._one_stream(BURST), calls, concurrency) * TOKENS

    async def paced(self, calls: int, concurrency: int) -> int:
        """Read streams with one token every 20 ms. Return the number of tokens received."""
        return await _spread(lambda: self._one_stream(PACED), calls, concurrency) * TOKENS

    async def latencies(self, calls: int) -> list[float]:
        """Make unary calls, one at a time. Return the seconds of each."""
        seconds = []
        for _ in range(calls):
            started = time.perf_counter()
            await self._one_unary()
            seconds.append(time.perf_counter() - started)
        return seconds

    async def open_stream(self) -> Any:
        """Return a stream that has delivered one token and now waits for the next one."""
        request = generation_pb2.StreamGenerateRequest(request=request_for(WAITING))
        request.request.stream_timeouts.idle_timeout.seconds = IDLE_TIMEOUT_SECONDS
        for _ in range(OPEN_ATTEMPTS):
            stream = self._stub.StreamGenerate(request, metadata=METADATA, timeout=2.0 * IDLE_TIMEOUT_SECONDS)
            try:
                async for message in stream:
                    if message.delta.text:
                        return stream
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(REJECTED_SECONDS)
        raise RuntimeError("the server rejects new streams")

    async def generate(
        self,
        request: generation_pb2.GenerateRequest,
        calls: int,
        concurrency: int,
        compression: grpc.Compression | None = None,
    ) -> int:
        """Make equal unary calls, `concurrency` in flight. Return their number."""

        async def call() -> None:
            response = await self._stub.Generate(
                request, metadata=METADATA, timeout=TIMEOUT_SECONDS, compression=compression
            )
            assert response.message.parts[0].text == ANSWER, response

        return await _spread(call, calls, concurrency)

    async def _one_unary(self) -> None:
        response = await self._stub.Generate(request_for(UNARY), metadata=METADATA, timeout=TIMEOUT_SECONDS)
        assert response.message.parts[0].text == ANSWER, response

    async def _one_stream(self, model: str) -> None:
        request = generation_pb2.StreamGenerateRequest(request=request_for(model))
        text, completed = [], 0
        async for message in self._stub.StreamGenerate(request, metadata=METADATA, timeout=TIMEOUT_SECONDS):
            text.append(message.delta.text)
            completed += message.HasField("completed")
        assert "".join(text) == ANSWER, text
        assert completed == 1


@asynccontextmanager
async def waiting_streams(address: str, count: int) -> AsyncIterator[None]:
    """Hold `count` open streams that wait for their second token."""
    async with AsyncExitStack() as stack:
        streams: list[Any] = []
        while len(streams) < count:
            load = await stack.enter_async_context(Load(address))
            wanted = min(count, len(streams) + STREAMS_PER_CONNECTION)
            while len(streams) < wanted:
                batch = min(STREAMS_OPENED_AT_ONCE, wanted - len(streams))
                streams += await asyncio.gather(*(load.open_stream() for _ in range(batch)))
        yield
        for stream in streams:
            stream.cancel()


async def direct_latencies(port: int, calls: int) -> list[float]:
    """Call the upstream itself over one connection, one call at a time. Return the seconds of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"model":"unary","messages":[{"role":"user","content":"Write a hundred words."}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n" % len(body)
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        writer.write(head + body)
        headers = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(headers.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        seconds.append(time.perf_counter() - started)
    writer.close()
    await writer.wait_closed()
    return seconds


def request_for(model: str, text: str = "Write a hundred words.") -> generation_pb2.GenerateRequest:
    """Return a request for a model of the upstream."""
    part = content_pb2.Part(text=text)
    return generation_pb2.GenerateRequest(
        model=f"bench/{model}", messages=[content_pb2.Message(role=content_pb2.ROLE_USER, parts=[part])]
    )


async def _spread(call: Callable[[], Awaitable[None]], calls: int, concurrency: int) -> int:
    async def share(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*(share(calls // concurrency) for _ in range(concurrency)))
    return calls // concurrency * concurrency
