"""Invalid responses are retryable provider errors on every wire."""

from __future__ import annotations

import gzip
import json
from itertools import product
from typing import Any

import httpx
import pytest

from aimanager_server.core.errors import GatewayError, ProviderOverloaded, ProviderProtocolError, ProviderRateLimited
from aimanager_server.core.request import Attempt
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.chat_completions import LIMITS, connected_provider, make_attempt
from tests.support.http_servers.raw import chunked_response, http_response, raw_server
from tests.support.http_servers.scripted import SSE, STREAM_ATTEMPT, UNARY_ATTEMPT, BodyPieces
from tests.support.recordings import WIRES

HTML = b"<!DOCTYPE html><html><body>Just a moment...</body></html>"
GARBAGE = bytes(range(256)) * 4
WIRE_NAMES = ["chat_completions", "anthropic", "gemini", "responses"]


def provider_of(wire: str, status: int, headers: dict[str, str], content: bytes) -> tuple[HttpProvider, BodyPieces]:
    body = BodyPieces(content)
    transport = httpx.MockTransport(lambda request: httpx.Response(status, headers=headers, stream=body))
    keys = KeyPool([], lambda: 0.0)
    return HttpProvider("upstream", WIRES[wire], HttpxTransport(transport), keys, LIMITS), body


INVALID: dict[str, tuple[int, dict[str, str], bytes]] = {
    "empty response": (200, {}, b""),
    "empty stream": (200, SSE, b""),
    "empty JSON": (200, {"content-type": "application/json"}, b""),
    "no content": (204, {}, b""),
    "HTML": (200, {"content-type": "text/html; charset=utf-8"}, HTML),
    "HTML as JSON": (200, {"content-type": "application/json"}, HTML),
    "HTML as a stream": (200, SSE, HTML),
    "plain text": (200, {"content-type": "text/plain"}, b"upstream connect error"),
    "image": (200, {"content-type": "image/png"}, GARBAGE),
    "garbage": (200, {"content-type": "application/json"}, GARBAGE),
    "garbage as gzip": (200, {"content-type": "application/json", "content-encoding": "gzip"}, GARBAGE),
    "gzipped stream": (200, {**SSE, "content-encoding": "gzip"}, gzip.compress(b"data: {}\n\n")),
    "truncated JSON": (200, {"content-type": "application/json"}, b'{"choices": [{"mess'),
}


async def error_of(provider: HttpProvider, attempt: Attempt[Any]) -> GatewayError | None:
    try:
        await provider(attempt)
    except GatewayError as error:
        return error
    return None


async def test_invalid_success_is_a_retryable_protocol_error() -> None:
    wrong = []
    for wire, case, attempt in product(WIRE_NAMES, INVALID, (UNARY_ATTEMPT, STREAM_ATTEMPT)):
        provider, body = provider_of(wire, *INVALID[case])
        error = await error_of(provider, attempt)
        if not isinstance(error, ProviderProtocolError) or error.provider != "upstream" or not body.closed:
            wrong.append((wire, case, attempt.is_streamed, error))

    spec = ProviderProtocolError.spec
    assert wrong == []
    assert (spec.code, spec.reason, spec.retryable, spec.fallback) == ("UNAVAILABLE", "PROVIDER_PROTOCOL", True, "next")


OVERLOADED: dict[str, dict[str, Any]] = {
    "chat_completions": {"error": {"message": "Busy.", "code": 503}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    "gemini": {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Busy."}},
    "responses": {"type": "error", "code": "slow_down", "message": "Busy."},
}


@pytest.mark.parametrize("wire", WIRE_NAMES)
async def test_error_before_the_first_content_is_raised_by_the_await(wire: str) -> None:
    stream = b": ping\n\nevent: error\ndata: " + json.dumps(OVERLOADED[wire]).encode() + b"\n\n"
    provider, body = provider_of(wire, 200, SSE, stream)

    with pytest.raises(ProviderOverloaded) as caught:
        await provider(STREAM_ATTEMPT)

    assert (caught.value.spec.retryable, caught.value.spec.fallback) == (True, "next")
    assert body.closed


RATE_LIMITED: dict[str, tuple[dict[str, Any], float]] = {
    "chat_completions": ({"error": {"message": "Please try again in 6s.", "code": "rate_limit_exceeded"}}, 6.0),
    "anthropic": ({"type": "error", "error": {"type": "rate_limit_error", "message": "No.", "retry_after": 9}}, 9.0),
    "gemini": ({"error": {"code": 429, "message": "No.", "details": [{"retryDelay": "34.5s"}]}}, 34.5),
    "responses": ({"type": "error", "code": "rate_limit_exceeded", "message": "Please try again in 250ms."}, 0.25),
}


@pytest.mark.parametrize("wire", WIRE_NAMES)
async def test_retry_delay_inside_a_stream_is_kept(wire: str) -> None:
    payload, seconds = RATE_LIMITED[wire]
    provider, _ = provider_of(wire, 200, SSE, b"data: " + json.dumps(payload).encode() + b"\n\n")

    with pytest.raises(ProviderRateLimited) as caught:
        await provider(STREAM_ATTEMPT)

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
async def test_longest_of_several_retry_after_headers_is_used(headers: tuple[str, ...], seconds: float) -> None:
    response = http_response(b"{}", "429 Too Many Requests", headers=headers)

    async with raw_server((response,)) as server, connected_provider(server.url) as provider:
        with pytest.raises(GatewayError) as caught:
            await provider(make_attempt(provider="upstream"))

    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "response",
    [http_response(b"", "204 No Content"), http_response(HTML, content_type="text/html"), chunked_response()],
)
async def test_invalid_response_over_a_socket_is_a_protocol_error(response: bytes) -> None:
    async with raw_server((response,)) as server, connected_provider(server.url) as provider:
        with pytest.raises(ProviderProtocolError):
            await provider(make_attempt(provider="upstream", streaming=True))
