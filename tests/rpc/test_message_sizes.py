"""Requests that cannot be read or are too large, and how answers are packed."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager_server.core.content import Text
from aimanager_server.core.request import Call
from aimanager_server.core.response import Finished, FinishReason, PartCompleted, ResponseStream
from tests.support.rpc import QUESTION, build, saying, serving, settings
from tests.support.rpc_errors import refusal

GENERATE = "/aimanager.v1.GenerationService/Generate"


STREAM = "/aimanager.v1.GenerationService/StreamGenerate"


MIB = 1024 * 1024


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x02\xc3\x28"], ids=["garbage", "invalid UTF-8"])
async def test_bytes_that_are_no_request_are_an_invalid_argument(data: bytes) -> None:
    async with serving(build()) as world:
        unary = await refusal(world.raw(GENERATE)(data))
        streaming: Any = world.channel.unary_stream(STREAM)
        stream = await refusal(streaming(data))

    assert [unary.code, stream.code] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
    assert [unary.reason, stream.reason] == ["INVALID_FIELD"] * 2


async def test_a_request_above_our_limit_is_refused_with_both_numbers() -> None:
    large = generation_pb2.GenerateRequest(system_instruction="x" * 2000)
    async with serving(build(chosen=settings(limits={"message_bytes": 1000}))) as world:
        seen = await refusal(world.generation.Generate(large))

    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE")
    assert (seen.metadata["limit"], seen.metadata["actual"]) == ("1000", str(large.ByteSize()))


async def test_a_request_between_the_two_limits_is_refused_by_ours() -> None:
    large = content_pb2.Attachment(mime_type="image/png", data=b"x" * 33 * MIB)
    question = generation_pb2.GenerateRequest(
        messages=[content_pb2.Message(parts=[content_pb2.Part(attachment=large)])]
    )
    async with serving(build(), ("grpc.max_send_message_length", -1)) as world:
        seen = await refusal(world.generation.Generate(question))

    assert seen.reason == "PAYLOAD_TOO_LARGE"


async def test_forty_mebibytes_are_refused_by_grpc_itself_and_the_server_lives() -> None:
    large = generation_pb2.GenerateRequest(system_instruction="x" * 40 * MIB)
    async with serving(build(), ("grpc.max_send_message_length", -1)) as world:
        seen = await refusal(world.generation.Generate(large))
        answer = await world.generation.Generate(QUESTION)

    assert seen.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.message.parts[0].text == "Hello"


@pytest.mark.parametrize("method", ["/aimanager.v1.GenerationService/Nothing", "/nobody/Nothing"])
async def test_an_unknown_method_is_unimplemented(method: str) -> None:
    async with serving(build()) as world:
        seen = await refusal(world.raw(method)(b""))

    assert seen.code is grpc.StatusCode.UNIMPLEMENTED


async def _received_bytes(answer: str) -> tuple[int, str]:
    """What a client's socket received for an answer, and the answer it made of it."""
    async with serving(build(saying(PartCompleted(0, Text(answer)), Finished(FinishReason.STOP)))) as world:
        received = 0

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", world.server.port)

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, counted: bool) -> None:
                nonlocal received
                while data := await source.read(65536):
                    received += len(data) if counted else 0
                    sink.write(data)
                sink.close()

            await asyncio.gather(copy(reader, back, False), copy(there, writer, True))

        proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary(
                GENERATE, generation_pb2.GenerateRequest.SerializeToString, generation_pb2.GenerateResponse.FromString
            )
            said = (await method(QUESTION)).message.parts[0].text
        proxy.close()
    return received, said


async def test_a_long_unary_answer_is_compressed() -> None:
    received, said = await _received_bytes("word " * 40_000)

    assert said == "word " * 40_000
    assert received < 20_000


async def test_a_short_unary_answer_is_not_compressed() -> None:
    received, said = await _received_bytes("word " * 1_000)

    assert said == "word " * 1_000
    assert received > 5_000


async def test_an_answer_that_cannot_be_serialized_says_nothing_of_the_cause() -> None:
    async def handle(call: Call) -> ResponseStream:
        return await saying(PartCompleted(0, Text(object())), Finished(FinishReason.STOP))(call)  # type: ignore[arg-type]

    async with serving(build(handle)) as world:
        seen = await refusal(world.generation.Generate(QUESTION))

    assert (seen.code, seen.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
