"""Requests that are compressed: long ones of text, to a gateway on another machine."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from aimanager import AIManager, AsyncAIManager, ConfigurationError
from aimanager._transport.compression import MAX_ON_EVENT_LOOP_BYTES, THRESHOLD_BYTES, compression_of
from aimanager.v1.content_pb2 import Attachment, Message, Part, ToolResult
from aimanager.v1.embedding_pb2 import EmbedRequest
from aimanager.v1.generation_pb2 import GenerateRequest, StreamGenerateRequest
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.rpc import build_server, running

TEXT = "word " * 8_000
LARGE = "x" * THRESHOLD_BYTES
IMAGE = Attachment(mime_type="image/png", data=bytes(2 * THRESHOLD_BYTES))


def request_with(*parts: Part) -> GenerateRequest:
    return GenerateRequest(messages=[Message(parts=parts)])


@pytest.mark.parametrize(
    ("request_", "is_compressed"),
    [
        (request_with(Part(text=LARGE)), True),
        (StreamGenerateRequest(request=request_with(Part(text=LARGE))), True),
        (EmbedRequest(inputs=[LARGE]), True),
        (request_with(Part(attachment=Attachment(mime_type="text/csv", data=LARGE.encode()))), True),
        (request_with(Part(text=LARGE[:-100])), False),
        (request_with(Part(attachment=IMAGE)), False),
        (request_with(Part(tool_result=ToolResult(attachments=[IMAGE]))), False),
        (request_with(Part(text=LARGE), Part(attachment=IMAGE)), False),
        (request_with(Part(text=LARGE * 3), Part(attachment=IMAGE)), True),
    ],
    ids=["text", "stream", "embedding", "text file", "short", "image", "image of a tool", "image and less text",
         "image and more text"],
)  # fmt: skip
def test_long_requests_of_text_are_compressed(request_: Any, is_compressed: bool) -> None:
    expected = grpc.Compression.Gzip if is_compressed else None

    assert compression_of(request_, on_event_loop=False) is expected


def test_requests_that_would_block_an_event_loop_are_not_compressed() -> None:
    request = request_with(Part(text="x" * MAX_ON_EVENT_LOOP_BYTES))

    assert compression_of(request, on_event_loop=True) is None
    assert compression_of(request, on_event_loop=False) is grpc.Compression.Gzip


@pytest.mark.parametrize(
    ("target", "compression", "is_compressed"),
    [
        ("gateway.example:443", None, True),
        ("10.0.0.1:443", None, True),
        ("gateway.example:443", False, False),
        ("127.0.0.1:50051", None, False),
        ("unix:/run/a.sock", None, False),
        ("localhost:50051", True, True),
    ],
)
def test_compression_is_for_gateways_on_other_machines(
    target: str, compression: bool | None, is_compressed: bool
) -> None:
    with AIManager.gateway(target, compression=compression) as ai:
        assert ai._channel.endpoint.compresses is is_compressed


def test_nothing_is_compressed_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIMANAGER_TARGET", raising=False)

    with pytest.raises(ConfigurationError, match="compression applies to a gateway"):
        AIManager("key", provider="mock", compression=True)


@pytest.mark.parametrize("compression", [True, None])
async def test_a_compressed_request_arrives_and_its_stream_is_not_compressed(compression: bool | None) -> None:
    async with (
        running(build_server()) as gateway,
        counting_proxy(gateway.server.port) as proxy,
        AsyncAIManager.gateway(proxy.target, compression=compression) as ai,
    ):
        answer = await ai.request(TEXT)
        of_request = _sent(proxy)
        async with ai.stream(TEXT) as stream:
            text = "".join([piece async for piece in stream.text])
        of_stream = _sent(proxy)

    assert answer.content == text == "Hello"
    assert [sent < len(TEXT) / 10 for sent in (of_request, of_stream)] == [bool(compression)] * 2


def _sent(proxy: CountingProxy) -> int:
    sent, proxy.sent = proxy.sent, 0
    return sent
