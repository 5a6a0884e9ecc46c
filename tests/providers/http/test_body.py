"""Successes that are none, and bodies beyond all bounds."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Text
from aimanager_server.core.errors import ProviderProtocolError, ProviderRateLimited, StreamInterrupted
from aimanager_server.core.request import Call
from tests.support.chat_completions import answering, events_of, parts_of
from tests.support.http_servers.scripted import BEGUN, PLAIN, SSE, STREAM, STREAMED, TEXT, Pieces, always


async def test_a_stream_is_asked_for_uncompressed() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, headers=SSE, stream=Pieces(STREAM))

    await (await answering(respond)(STREAMED)).aclose()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return always(status, headers={"location": "https://evil.test/"})(request)

    with pytest.raises(ProviderProtocolError, match="redirect"):
        await answering(respond)(PLAIN)

    assert asked == ["https://upstream.test/v1/chat/completions"]


@pytest.mark.parametrize("call", [PLAIN, STREAMED], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "application/json"),
        (b"<html>Welcome to nginx</html>", "text/html"),
        (b"<html>Welcome to nginx</html>", "application/json"),
        (b"{oops", "application/json"),
        (b'{"choices":[]}', "application/json"),
    ],
)
async def test_a_success_that_is_no_answer_is_a_fault(call: Call, content: bytes, content_type: str) -> None:
    with pytest.raises(ProviderProtocolError):
        await answering(always(content=content, headers={"content-type": content_type}))(call)


async def test_an_error_in_json_in_place_of_a_stream_is_what_it_says() -> None:
    with pytest.raises(ProviderRateLimited):
        await answering(always(content=b'{"error":{"code":"rate_limit_exceeded","message":"slow"}}'))(STREAMED)


async def test_a_whole_answer_in_place_of_a_stream_is_an_answer() -> None:
    reply = await answering(always(content=TEXT, headers={"content-type": "application/problem+json"}))(STREAMED)

    assert parts_of(await events_of(reply)) == (Text("Grüße aus Rom 😀."),)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip", "identity"])
async def test_a_compressed_answer_is_read(encoding: str) -> None:
    packed = {"deflate": zlib.compress(TEXT), "identity": TEXT}.get(encoding, gzip.compress(TEXT))

    reply = await answering(always(content=packed, headers={"content-encoding": encoding}))(PLAIN)

    assert parts_of(await events_of(reply)) == (Text("Grüße aus Rom 😀."),)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"not gzip", "gzip", "claims"),
        (gzip.compress(TEXT)[:-20], "gzip", "cut"),
        (TEXT, "br", "'br'"),
        (gzip.compress(b" " * 3_000_000), "gzip", "larger"),
    ],
)
async def test_a_badly_compressed_answer_is_refused(content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(ProviderProtocolError, match=message):
        await answering(always(content=content, headers={"content-encoding": encoding}))(PLAIN)


async def test_a_huge_answer_is_refused() -> None:
    small = Limits(response_bytes=100)

    with pytest.raises(ProviderProtocolError, match="100 bytes"):
        await answering(always(), limits=small)(PLAIN)


async def test_an_endless_stream_is_broken_off() -> None:
    body = Pieces(BEGUN, b'aus"}}]}\n\n', *[b": ping\n\n"] * 100)
    limits = Limits(response_bytes=len(BEGUN) + 200)
    provider = answering(lambda request: httpx.Response(200, headers=SSE, stream=body), limits=limits)

    reply = await provider(STREAMED)
    with pytest.raises(StreamInterrupted, match="larger"):
        await events_of(reply)

    assert body.closed
