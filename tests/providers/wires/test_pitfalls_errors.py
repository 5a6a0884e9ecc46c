"""Known pitfalls of gateways with provider errors: errors inside a 200, retries, redirects and secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from aimanager_server.config.resilience import RetrySettings
from aimanager_server.core.errors import (
    ContentBlocked,
    ContextTooLong,
    GatewayError,
    ProviderCredentialsInvalid,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderQuotaExhausted,
    ProviderRateLimited,
)
from aimanager_server.core.request import Caller
from aimanager_server.providers.wires.wire import Wire
from aimanager_server.resilience.retry_policy import Fail, Retry, RetryState, decide
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import responses as responses_api
from tests.support.chat_completions import CANARY, chat_wire, make_attempt, provider_responding
from tests.support.http_servers.scripted import SSE, BodyPieces

POLICY = RetrySettings()
FIRST, LAST = RetryState(1, 0, 1e6), RetryState(POLICY.max_attempts, 0, 1e6)
NO_JITTER = 0.0


def data(payload: object) -> bytes:
    return f"data: {json.dumps(payload)}\n\n".encode()


def read(wire: Wire, stream: bytes) -> None:
    reader = wire.stream_reader()
    reader.feed(stream)
    reader.end()


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
SERVER_ERROR = {"code": "server_error", "message": "Oh."}
UNAVAILABLE = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Busy."}}

ERRORS_IN_SUCCESS: list[tuple[Callable[[], Wire], bytes, type[GatewayError]]] = [
    (anthropic_api.anthropic_wire, data(OVERLOADED), ProviderOverloaded),
    (chat_wire, data({"error": {"message": "Slow down.", "code": 429}}), ProviderRateLimited),
    (chat_wire, data({"error": {"message": "Busy.", "code": "503"}}), ProviderOverloaded),
    (chat_wire, data({"error": "Something."}), ProviderInternalError),
    (lambda: chat_wire("mistral"), data({"object": "error", "message": "No."}), ProviderInternalError),
    (
        responses_api.responses_wire,
        data({"type": "response.failed", "response": {"status": "failed", "error": SERVER_ERROR}}),
        ProviderInternalError,
    ),
    (gemini_api.gemini_wire, data(UNAVAILABLE), ProviderOverloaded),
]


@pytest.mark.parametrize(("make_wire", "stream", "error_type"), ERRORS_IN_SUCCESS)
async def test_pitfall_20_error_inside_a_success_is_retried_like_any_other(
    make_wire: Callable[[], Wire], stream: bytes, error_type: type[GatewayError]
) -> None:
    body = {"error": {"message": "Slow down.", "code": 429}}
    unstreamed = provider_responding(lambda request: httpx.Response(200, json=body))
    streamed = provider_responding(lambda request: httpx.Response(200, headers=SSE, stream=BodyPieces(data(body))))

    with pytest.raises(error_type) as caught:
        read(make_wire(), stream)

    assert caught.value.upstream_status == 200
    # Raised before the first content, so that the retry policy can retry.
    assert isinstance(decide(caught.value, FIRST, POLICY, NO_JITTER), Retry)
    for provider in (unstreamed, streamed):
        with pytest.raises(ProviderRateLimited):
            await provider(make_attempt(provider="upstream", streaming=True))


def error_body(message: str = "No.", code: str | None = None, error_type: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "type": error_type}}).encode()


@pytest.mark.parametrize(
    ("make_wire", "status", "body", "error_type"),
    [
        (chat_wire, 429, error_body(code="insufficient_quota"), ProviderQuotaExhausted),
        (responses_api.responses_wire, 429, error_body(code="insufficient_quota"), ProviderQuotaExhausted),
        (
            anthropic_api.anthropic_wire,
            429,
            error_body("You have reached your monthly spend limit.", error_type="rate_limit_error"),
            ProviderQuotaExhausted,
        ),
        (lambda: chat_wire("deepseek"), 402, error_body("Insufficient Balance"), ProviderQuotaExhausted),
        (anthropic_api.anthropic_wire, 402, error_body(error_type="billing_error"), ProviderQuotaExhausted),
        (chat_wire, 400, error_body(code="context_length_exceeded"), ContextTooLong),
        (anthropic_api.anthropic_wire, 400, error_body("prompt is too long: 9 > 8"), ContextTooLong),
        (chat_wire, 400, error_body(code="content_policy_violation"), ContentBlocked),
        (lambda: chat_wire("deepseek"), 400, error_body("Content Exists Risk"), ContentBlocked),
    ],
)
def test_pitfall_21_permanent_errors_are_not_retried_and_delays_are_bounded(
    make_wire: Callable[[], Wire], status: int, body: bytes, error_type: type[GatewayError]
) -> None:
    rate_limited = {
        seconds: chat_wire().error(429, {"retry-after": seconds}, error_body()) for seconds in ("120", "121")
    }
    overloaded = ProviderOverloaded("Busy.")

    error = make_wire().error(status, {}, body)

    assert type(error) is error_type
    assert decide(error, FIRST, POLICY, NO_JITTER) == Fail()
    assert decide(rate_limited["120"], FIRST, POLICY, NO_JITTER) == Retry(120.0)
    assert decide(rate_limited["121"], FIRST, POLICY, NO_JITTER) == Fail()
    assert [decide(overloaded, FIRST, POLICY, jitter) for jitter in (0.0, 0.5)] == [Retry(0.0), Retry(0.125)]
    assert decide(overloaded, LAST, POLICY, NO_JITTER) == Fail()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_pitfall_24_redirects_are_not_followed_and_caller_headers_not_forwarded(status: int) -> None:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, headers={"location": "https://elsewhere.test/v1"})

    with pytest.raises(ProviderProtocolError, match="redirect"):
        await provider_responding(respond)(make_attempt(provider="upstream", caller=Caller("ann"), streaming=True))

    assert [request.url.host for request in requests] == ["upstream.test"]
    assert requests[0].headers.get_list("authorization") == [f"Bearer {CANARY}"]
    assert requests[0].headers["accept-encoding"] == "identity"
    assert not {"te", "trailer", "upgrade", "proxy-authorization", "cookie"} & set(requests[0].headers)


@pytest.mark.parametrize("key", ["sk-proj-Ab12Cd34Ef56Gh78", CANARY])
async def test_pitfall_25_keys_do_not_leak_into_urls_or_messages(key: str) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        message = f"Incorrect API key provided: {key}, or {key[:12]}********, at https://x.test/?key={key}"
        return httpx.Response(401, content=error_body(message, "invalid_api_key"), headers={"x-key": key})

    encodings: list[tuple[Any, Any]] = [
        (chat_wire(), make_attempt()),
        (anthropic_api.anthropic_wire(), anthropic_api.make_attempt()),
        (gemini_api.gemini_wire(), gemini_api.make_attempt()),
        (responses_api.responses_wire(), responses_api.make_attempt()),
    ]
    requests = [wire.encode(attempt, key) for wire, attempt in encodings]

    with pytest.raises(ProviderCredentialsInvalid) as caught:
        await provider_responding(respond, key)(make_attempt(provider="upstream"))

    text = f"{caught.value!r} {caught.value} {caught.value.message} {caught.value.solution} {caught.value.metadata}"
    assert key[:12] not in text
    assert not any(key in request.url or key in repr(request) or key.encode() in request.body for request in requests)
