"""Bodies of responses: redirects, HTML, compression, oversized bodies, and incomplete errors."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Text
from aimanager_server.core.errors import (
    ContextTooLong,
    DeadlineExceeded,
    ProviderCredentialsInvalid,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderUnreachable,
    StreamInterrupted,
)
from aimanager_server.core.request import Attempt
from aimanager_server.providers.http.body import BODY_IDLE_SECONDS, ERROR_BODY_SECONDS
from tests.support.chat_completions import CANARY, collect_events, make_attempt, provider_responding
from tests.support.event_loop import in_virtual_time
from tests.support.http_servers.scripted import (
    SSE,
    STREAM,
    STREAM_ATTEMPT,
    STREAM_BEGINNING,
    TEXT,
    UNARY_ATTEMPT,
    BodyPieces,
    always_respond,
)
from tests.support.wire_cases import completed_parts


async def test_streams_are_requested_uncompressed() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, headers=SSE, stream=BodyPieces(STREAM))

    await (await provider_responding(respond)(STREAM_ATTEMPT)).aclose()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    requests: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(str(request.url))
        return always_respond(status, headers={"location": "https://evil.test/"})(request)

    with pytest.raises(ProviderProtocolError, match="redirect"):
        await provider_responding(respond)(UNARY_ATTEMPT)

    assert requests == ["https://upstream.test/v1/chat/completions"]


@pytest.mark.parametrize("attempt", [UNARY_ATTEMPT, STREAM_ATTEMPT], ids=["whole", "streamed"])
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
async def test_a_success_without_a_valid_body_is_an_error(
    attempt: Attempt[Any], content: bytes, content_type: str
) -> None:
    with pytest.raises(ProviderProtocolError):
        await provider_responding(always_respond(content=content, headers={"content-type": content_type}))(attempt)


async def test_a_json_error_instead_of_a_stream_is_translated() -> None:
    with pytest.raises(ProviderRateLimited):
        await provider_responding(always_respond(content=b'{"error":{"code":"rate_limit_exceeded","message":"slow"}}'))(
            STREAM_ATTEMPT
        )


async def test_a_unary_response_instead_of_a_stream_is_accepted() -> None:
    stream = await provider_responding(
        always_respond(content=TEXT, headers={"content-type": "application/problem+json"})
    )(STREAM_ATTEMPT)

    assert completed_parts(await collect_events(stream)) == (Text("Grüße aus Rom 😀."),)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip", "identity"])
async def test_compressed_responses_are_decompressed(encoding: str) -> None:
    compressed = {"deflate": zlib.compress(TEXT), "identity": TEXT}.get(encoding, gzip.compress(TEXT))

    stream = await provider_responding(always_respond(content=compressed, headers={"content-encoding": encoding}))(
        UNARY_ATTEMPT
    )

    assert completed_parts(await collect_events(stream)) == (Text("Grüße aus Rom 😀."),)


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"not gzip", "gzip", "not valid gzip"),
        (gzip.compress(TEXT)[:-20], "gzip", "truncated"),
        (TEXT, "br", "'br'"),
        (gzip.compress(b" " * 3_000_000), "gzip", "exceeds the limit"),
    ],
)
async def test_invalid_compression_is_rejected(content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(ProviderProtocolError, match=message):
        await provider_responding(always_respond(content=content, headers={"content-encoding": encoding}))(
            UNARY_ATTEMPT
        )


async def test_oversized_responses_are_rejected() -> None:
    small = Limits(max_response_bytes=100)

    with pytest.raises(ProviderProtocolError, match="100 bytes"):
        await provider_responding(always_respond(), limits=small)(UNARY_ATTEMPT)


TOO_LONG = b'{"error":{"message":"Too long.","code":"context_length_exceeded"}}'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(TOO_LONG), "gzip"),
        (zlib.compress(TOO_LONG), "Deflate"),
        (gzip.compress(TOO_LONG)[:-8], "gzip"),
        (TOO_LONG, "identity"),
    ],
    ids=["gzip", "deflate", "incomplete", "identity"],
)
async def test_the_body_of_an_error_is_decompressed(content: bytes, encoding: str) -> None:
    respond = always_respond(400, content, {"content-encoding": encoding})

    with pytest.raises(ContextTooLong, match=r"Too long\."):
        await provider_responding(respond)(UNARY_ATTEMPT)


async def test_a_key_in_a_compressed_error_is_redacted() -> None:
    content = gzip.compress(b'{"error":{"message":"Bad key %s."}}' % CANARY.encode())

    with pytest.raises(ProviderCredentialsInvalid, match="Bad key") as caught:
        await provider_responding(always_respond(401, content, {"content-encoding": "gzip"}))(UNARY_ATTEMPT)

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"not gzip", gzip.compress(b" " * 3_000_000)], ids=["corrupt", "decompression bomb"]
)
async def test_the_status_of_an_error_counts_whatever_its_compressed_body(content: bytes) -> None:
    with pytest.raises(ProviderRateLimited, match="no message"):
        await provider_responding(always_respond(429, content, {"content-encoding": "gzip"}))(UNARY_ATTEMPT)


@in_virtual_time
@pytest.mark.parametrize("pieces", [(b'{"error":{"mess',), ()], ids=["incomplete", "missing"])
async def test_the_body_of_an_error_is_not_waited_for_long(pieces: tuple[bytes, ...]) -> None:
    body = BodyPieces(*pieces, asyncio.Event())

    with pytest.raises(ProviderRateLimited):
        await provider_responding(lambda request: httpx.Response(429, stream=body))(UNARY_ATTEMPT)

    assert asyncio.get_running_loop().time() == pytest.approx(ERROR_BODY_SECONDS)
    assert body.closed


@in_virtual_time
async def test_the_deadline_applies_while_the_body_of_an_error_arrives() -> None:
    body = BodyPieces(asyncio.Event())

    with pytest.raises(DeadlineExceeded):
        await provider_responding(lambda request: httpx.Response(429, stream=body))(make_attempt(deadline=1.0))


class GeneratedBody(httpx.AsyncByteStream):
    """A body of 4 MB that is generated as it is read."""

    def __init__(self, end: Exception | None) -> None:
        self._end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(400):
            yield bytes(10_000)
        if self._end is not None:
            raise self._end


@pytest.mark.parametrize("end", [None, httpx.ReadError("reset")], ids=["oversized", "lost"])
async def test_the_error_of_a_response_does_not_keep_its_body(end: Exception | None) -> None:
    provider = provider_responding(
        lambda request: httpx.Response(200, stream=GeneratedBody(end)),
        limits=Limits(max_response_bytes=5_000_000 if end else 3_900_000),
    )

    tracemalloc.start()
    try:
        with pytest.raises((ProviderProtocolError, ProviderUnreachable)) as caught:
            await provider(UNARY_ATTEMPT)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught.value.__traceback__ is not None
    assert peak > 3_900_000
    assert kept < 1_000_000


async def test_endless_streams_are_interrupted() -> None:
    body = BodyPieces(STREAM_BEGINNING, b'aus"}}]}\n\n', *[b": ping\n\n"] * 100)
    limits = Limits(max_response_bytes=len(STREAM_BEGINNING) + 200)
    provider = provider_responding(lambda request: httpx.Response(200, headers=SSE, stream=body), limits=limits)

    stream = await provider(STREAM_ATTEMPT)
    with pytest.raises(StreamInterrupted, match="exceeds the limit"):
        await collect_events(stream)

    assert body.closed


@in_virtual_time
async def test_a_body_that_stops_before_its_announced_length_is_truncated() -> None:
    headers = {"content-length": str(len(TEXT) + 1), "content-type": "application/json"}
    attempt = make_attempt(provider="upstream", deadline=600.0)

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=BodyPieces(TEXT, asyncio.Event()))

    with pytest.raises(ProviderProtocolError, match=f"nothing followed {len(TEXT)} of {len(TEXT) + 1} bytes"):
        await provider_responding(respond)(attempt)

    assert asyncio.get_running_loop().time() < BODY_IDLE_SECONDS + 1.0


@in_virtual_time
async def test_blank_lines_before_a_body_may_take_until_the_deadline() -> None:
    attempt = make_attempt(provider="upstream", deadline=100.0)

    def respond(request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "application/json"}
        return httpx.Response(200, headers=headers, stream=BodyPieces(b"\n", asyncio.Event()))

    with pytest.raises(DeadlineExceeded):
        await provider_responding(respond)(attempt)
