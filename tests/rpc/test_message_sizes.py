"""Undecodable and oversized requests, and compression of responses."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.core.content import Text
from aimanager_server.core.request import Call
from aimanager_server.core.response import Finished, FinishReason, PartCompleted, TextDelta
from aimanager_server.core.stream import ResponseStream
from tests.support.counting_proxy import counting_proxy
from tests.support.rpc import REQUEST, STREAM_REQUEST, answering, build_server, running, server_settings
from tests.support.rpc_errors import failure_of

GENERATE = "/aimanager.v1.GenerationService/Generate"
STREAM_GENERATE = "/aimanager.v1.GenerationService/StreamGenerate"
MIB = 1024 * 1024


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x02\xc3\x28"], ids=["random bytes", "invalid UTF-8"])
async def test_undecodable_bytes_are_an_invalid_argument(data: bytes) -> None:
    async with running(build_server()) as gateway:
        unary = await failure_of(gateway.raw(GENERATE)(data))
        streaming: Any = gateway.channel.unary_stream(STREAM_GENERATE)
        stream = await failure_of(streaming(data))

    assert [unary.code, stream.code] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
    assert [unary.reason, stream.reason] == ["INVALID_FIELD"] * 2


async def test_a_request_above_the_message_limit_is_rejected_with_limit_and_size() -> None:
    large = generation_pb2.GenerateRequest(system_instruction="x" * 2000)
    async with running(build_server(settings=server_settings(limits={"max_message_bytes": 1000}))) as gateway:
        failure = await failure_of(gateway.generation.Generate(large))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE")
    assert (failure.metadata["limit"], failure.metadata["actual"]) == ("1000", str(large.ByteSize()))


async def test_a_request_below_grpcs_own_limit_is_rejected_with_details() -> None:
    large = content_pb2.Attachment(mime_type="image/png", data=b"x" * 33 * MIB)
    request = generation_pb2.GenerateRequest(messages=[content_pb2.Message(parts=[content_pb2.Part(attachment=large)])])
    async with running(build_server(), ("grpc.max_send_message_length", -1)) as gateway:
        failure = await failure_of(gateway.generation.Generate(request))

    assert failure.reason == "PAYLOAD_TOO_LARGE"


async def test_a_request_above_grpcs_own_limit_does_not_harm_the_server() -> None:
    large = generation_pb2.GenerateRequest(system_instruction="x" * 40 * MIB)
    async with running(build_server(), ("grpc.max_send_message_length", -1)) as gateway:
        failure = await failure_of(gateway.generation.Generate(large))
        response = await gateway.generation.Generate(REQUEST)

    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert response.message.parts[0].text == "Hello"


@pytest.mark.parametrize("method", ["/aimanager.v1.GenerationService/Nothing", "/nobody/Nothing"])
async def test_an_unknown_method_is_unimplemented(method: str) -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(gateway.raw(method)(b""))

    assert failure.code is grpc.StatusCode.UNIMPLEMENTED


async def _received_bytes(response: str) -> tuple[int, str]:
    """Return the bytes that a client's socket received for a response, and the text of the response."""
    async with running(
        build_server(answering(PartCompleted(0, Text(response)), Finished(FinishReason.STOP)))
    ) as gateway:
        received, forwarded = 0, asyncio.Event()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", gateway.server.port)

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, counted: bool) -> None:
                nonlocal received
                while data := await source.read(65536):
                    received += len(data) if counted else 0
                    sink.write(data)
                sink.close()

            try:
                await asyncio.gather(copy(reader, upstream_writer, False), copy(upstream_reader, writer, True))
                await asyncio.gather(upstream_writer.wait_closed(), writer.wait_closed())
            finally:
                forwarded.set()

        proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary(
                GENERATE, generation_pb2.GenerateRequest.SerializeToString, generation_pb2.GenerateResponse.FromString
            )
            text = (await method(REQUEST)).message.parts[0].text
        await forwarded.wait()
        proxy.close()
    return received, text


async def test_a_long_unary_response_is_compressed() -> None:
    received, text = await _received_bytes("word " * 40_000)

    assert text == "word " * 40_000
    assert received < 20_000


async def test_stream_messages_are_not_compressed() -> None:
    text = "word " * 40_000
    server = build_server(answering(TextDelta(0, text), PartCompleted(0, Text(text)), Finished(FinishReason.STOP)))
    async with (
        running(server) as gateway,
        counting_proxy(gateway.server.port) as proxy,
        grpc.aio.insecure_channel(proxy.target) as channel,
    ):
        events = [event async for event in GenerationServiceStub(channel).StreamGenerate(STREAM_REQUEST)]

    assert events[-1].completed.message.parts[0].text == text
    assert proxy.received > 3 * len(text)  # the delta, the part and the complete response


async def test_a_response_is_not_compressed_for_a_client_that_does_not_accept_it() -> None:
    identity_only = ("grpc.compression_enabled_algorithms_bitset", 1)
    text = "word " * 40_000
    server = build_server(answering(TextDelta(0, text), PartCompleted(0, Text(text)), Finished(FinishReason.STOP)))
    async with running(server, identity_only) as gateway:
        response = await gateway.generation.Generate(REQUEST)
        events = [event async for event in gateway.generation.StreamGenerate(STREAM_REQUEST)]

    assert response.message.parts[0].text == text
    assert events[-1].completed.message.parts[0].text == text


async def test_a_short_unary_response_is_not_compressed() -> None:
    received, text = await _received_bytes("word " * 1_000)

    assert text == "word " * 1_000
    assert received > 5_000


async def test_a_response_that_cannot_be_serialized_is_an_internal_error() -> None:
    async def handle(call: Call) -> ResponseStream:
        return await answering(PartCompleted(0, Text(object())), Finished(FinishReason.STOP))(call)  # type: ignore[arg-type]

    async with running(build_server(handle)) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
