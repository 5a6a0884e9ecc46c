"""What comes in place of an answer, on every wire: it is told as the provider's fault, and can be asked again."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from aimanager_server.core.errors import GatewayError, ProviderOverloaded, ProviderProtocolError, ProviderRateLimited
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.chat_completions import LIMITS, connected, question
from tests.support.http_servers.raw import chunked, http, raw_server
from tests.support.http_servers.scripted import PLAIN, SSE, STREAMED, Pieces
from tests.support.recordings import WIRES

HTML = b"<!DOCTYPE html><html><body>Just a moment...</body></html>"
GARBAGE = bytes(range(256)) * 4
ONCE_A_WIRE = ["chat_completions", "claude", "gemini", "responses"]


def provider_of(wire: str, status: int, headers: dict[str, str], content: bytes) -> tuple[HttpProvider, Pieces]:
    body = Pieces(content)
    transport = httpx.MockTransport(lambda request: httpx.Response(status, headers=headers, stream=body))
    ring = KeyRing([], lambda: 0.0)
    return HttpProvider("upstream", WIRES[wire], HttpxTransport(transport), ring, LIMITS), body


NOTHINGS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "nothing at all": (200, {}, b""),
    "an empty stream": (200, SSE, b""),
    "an empty object": (200, {"content-type": "application/json"}, b""),
    "no content": (204, {}, b""),
    "a page": (200, {"content-type": "text/html; charset=utf-8"}, HTML),
    "a page that says it is JSON": (200, {"content-type": "application/json"}, HTML),
    "a page that says it is a stream": (200, SSE, HTML),
    "words": (200, {"content-type": "text/plain"}, b"upstream connect error"),
    "a picture": (200, {"content-type": "image/png"}, GARBAGE),
    "garbage": (200, {"content-type": "application/json"}, GARBAGE),
    "garbage that says it is packed": (200, {"content-type": "application/json", "content-encoding": "gzip"}, GARBAGE),
    "a packed stream": (200, {**SSE, "content-encoding": "gzip"}, gzip.compress(b"data: {}\n\n")),
    "an answer cut in its middle": (200, {"content-type": "application/json"}, b'{"choices": [{"mess'),
}


@pytest.mark.parametrize("call", [PLAIN, STREAMED], ids=["whole", "streamed"])
@pytest.mark.parametrize("nothing", NOTHINGS)
@pytest.mark.parametrize("wire", ONCE_A_WIRE)
async def test_a_success_that_is_no_answer_is_unavailable_and_may_be_asked_again(
    wire: str, nothing: str, call: Any
) -> None:
    provider, body = provider_of(wire, *NOTHINGS[nothing])

    with pytest.raises(ProviderProtocolError) as caught:
        await provider(call)

    row = caught.value.spec
    assert (row.code, row.reason, row.retryable, row.fallback) == ("UNAVAILABLE", "PROVIDER_PROTOCOL", True, "next")
    assert caught.value.provider == "upstream"
    assert body.closed


OVERLOADED: dict[str, dict[str, Any]] = {
    "chat_completions": {"error": {"message": "Busy.", "code": 503}},
    "claude": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "gemini": {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Busy."}},
    "responses": {"type": "error", "code": "slow_down", "message": "Busy."},
}


@pytest.mark.parametrize("wire", ONCE_A_WIRE)
async def test_an_error_within_a_stream_before_any_output_comes_from_the_await(wire: str) -> None:
    told = b": ping\n\nevent: error\ndata: " + json.dumps(OVERLOADED[wire]).encode() + b"\n\n"
    provider, body = provider_of(wire, 200, SSE, told)

    with pytest.raises(ProviderOverloaded) as caught:
        await provider(STREAMED)

    assert (caught.value.spec.retryable, caught.value.spec.fallback) == (True, "next")
    assert body.closed


LIMITED: dict[str, tuple[dict[str, Any], float]] = {
    "chat_completions": ({"error": {"message": "Please try again in 6s.", "code": "rate_limit_exceeded"}}, 6.0),
    "claude": ({"type": "error", "error": {"type": "rate_limit_error", "message": "No.", "retry_after": 9}}, 9.0),
    "gemini": ({"error": {"code": 429, "message": "No.", "details": [{"retryDelay": "34.5s"}]}}, 34.5),
    "responses": ({"type": "error", "code": "rate_limit_exceeded", "message": "Please try again in 250ms."}, 0.25),
}


@pytest.mark.parametrize("wire", ONCE_A_WIRE)
async def test_advice_to_wait_within_a_stream_is_kept(wire: str) -> None:
    payload, seconds = LIMITED[wire]
    provider, _ = provider_of(wire, 200, SSE, b"data: " + json.dumps(payload).encode() + b"\n\n")

    with pytest.raises(ProviderRateLimited) as caught:
        await provider(STREAMED)

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (("Retry-After: 2", "Retry-After: 7"), 7.0),
        (("Retry-After: 7", "retry-after: 2"), 7.0),
        (("Retry-After: soon", "Retry-After: 3"), 3.0),
        (("Date: Sun, 22 Nov 2026 13:00:00 GMT", "Retry-After: Sun, 22 Nov 2026 13:00:09 GMT", "Retry-After: 2"), 9.0),
    ],
)
async def test_of_several_headers_with_advice_the_longest_counts(headers: tuple[str, ...], seconds: float) -> None:
    refusal = http(b"{}", "429 Too Many Requests", headers=headers)

    async with raw_server((refusal,)) as server, connected(server.url) as provider:
        with pytest.raises(GatewayError) as caught:
            await provider(question(provider="upstream"))

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("answer", [http(b"", "204 No Content"), http(HTML, content_type="text/html"), chunked()])
async def test_over_a_socket_no_answer_is_one_either(answer: bytes) -> None:
    async with raw_server((answer,)) as server, connected(server.url) as provider:
        with pytest.raises(ProviderProtocolError):
            await provider(question(provider="upstream", streaming=True))
