"""What gateways get wrong when a provider fails: errors inside successes, retries, redirects and secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

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
from aimanager_server.providers.wires.dialect import Dialect
from aimanager_server.resilience.retry_policy import GiveUp, Policy, Retry, Stand, decide
from tests.support import anthropic as anthropic_api
from tests.support import gemini as gemini_api
from tests.support import responses as responses_api
from tests.support.chat_completions import CANARY, answering, dialect, question
from tests.support.http_servers.scripted import SSE, Pieces

POLICY = Policy()
FIRST, LAST = Stand(1, 0, 1e6), Stand(POLICY.attempts, 0, 1e6)
AT_ONCE = 0.0


def data(payload: object) -> bytes:
    return f"data: {json.dumps(payload)}\n\n".encode()


def read(spoken: Dialect, stream: bytes) -> None:
    reader = spoken.reader()
    reader.feed(stream)
    reader.end()


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
SERVER_ERROR = {"code": "server_error", "message": "Oh."}
UNAVAILABLE = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Busy."}}

INSIDE: list[tuple[Callable[[], Dialect], bytes, type[GatewayError]]] = [
    (anthropic_api.claude, data(OVERLOADED), ProviderOverloaded),
    (dialect, data({"error": {"message": "Slow down.", "code": 429}}), ProviderRateLimited),
    (dialect, data({"error": {"message": "Busy.", "code": "503"}}), ProviderOverloaded),
    (dialect, data({"error": "Something."}), ProviderInternalError),
    (lambda: dialect("mistral"), data({"object": "error", "message": "No."}), ProviderInternalError),
    (
        responses_api.responses,
        data({"type": "response.failed", "response": {"status": "failed", "error": SERVER_ERROR}}),
        ProviderInternalError,
    ),
    (gemini_api.gemini, data(UNAVAILABLE), ProviderOverloaded),
]


@pytest.mark.parametrize(("spoken", "stream", "kind"), INSIDE)
async def test_pitfall_20_an_error_inside_a_success_is_a_fault_like_any_other(
    spoken: Callable[[], Dialect], stream: bytes, kind: type[GatewayError]
) -> None:
    plain = {"error": {"message": "Slow down.", "code": 429}}
    no_stream = answering(lambda request: httpx.Response(200, json=plain))
    streamed = answering(lambda request: httpx.Response(200, headers=SSE, stream=Pieces(data(plain))))

    with pytest.raises(kind) as caught:
        read(spoken(), stream)

    assert caught.value.upstream_status == 200
    # Before the first content it is raised instead of an answer, so that it can be asked again.
    assert isinstance(decide(caught.value, FIRST, POLICY, AT_ONCE), Retry)
    for provider in (no_stream, streamed):
        with pytest.raises(ProviderRateLimited):
            await provider(question(provider="upstream", streaming=True))


def refusal(message: str = "No.", code: str | None = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "type": kind}}).encode()


@pytest.mark.parametrize(
    ("spoken", "status", "body", "kind"),
    [
        (dialect, 429, refusal(code="insufficient_quota"), ProviderQuotaExhausted),
        (responses_api.responses, 429, refusal(code="insufficient_quota"), ProviderQuotaExhausted),
        (
            anthropic_api.claude,
            429,
            refusal(kind="rate_limit_error"),
            ProviderQuotaExhausted,
        ),  # without advice: the spend cap
        (lambda: dialect("deepseek"), 402, refusal("Insufficient Balance"), ProviderQuotaExhausted),
        (anthropic_api.claude, 402, refusal(kind="billing_error"), ProviderQuotaExhausted),
        (dialect, 400, refusal(code="context_length_exceeded"), ContextTooLong),
        (anthropic_api.claude, 400, refusal("prompt is too long: 9 > 8"), ContextTooLong),
        (dialect, 400, refusal(code="content_policy_violation"), ContentBlocked),
        (lambda: dialect("deepseek"), 400, refusal("Content Exists Risk"), ContentBlocked),
    ],
)
def test_pitfall_21_what_cannot_succeed_is_not_asked_again_and_waits_are_bounded(
    spoken: Callable[[], Dialect], status: int, body: bytes, kind: type[GatewayError]
) -> None:
    advised = {wait: dialect().error(429, {"retry-after": wait}, refusal()) for wait in ("120", "121")}
    overloaded = ProviderOverloaded("Busy.")

    fault = spoken().error(status, {}, body)

    assert type(fault) is kind
    assert decide(fault, FIRST, POLICY, AT_ONCE) == GiveUp()
    assert decide(advised["120"], FIRST, POLICY, AT_ONCE) == Retry(120.0)
    assert decide(advised["121"], FIRST, POLICY, AT_ONCE) == GiveUp()
    assert [decide(overloaded, FIRST, POLICY, jitter) for jitter in (0.0, 0.5)] == [Retry(0.0), Retry(0.125)]
    assert decide(overloaded, LAST, POLICY, AT_ONCE) == GiveUp()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_pitfall_24_no_key_follows_a_redirect_and_no_header_of_the_caller_goes_on(status: int) -> None:
    asked: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, headers={"location": "https://elsewhere.test/v1"})

    with pytest.raises(ProviderProtocolError, match="redirect"):
        await answering(respond)(question(provider="upstream", caller=Caller("ann"), streaming=True))

    assert [request.url.host for request in asked] == ["upstream.test"]
    assert asked[0].headers.get_list("authorization") == [f"Bearer {CANARY}"]
    assert asked[0].headers["accept-encoding"] == "identity"
    assert not {"te", "trailer", "upgrade", "proxy-authorization", "cookie"} & set(asked[0].headers)


@pytest.mark.parametrize("key", ["sk-proj-Ab12Cd34Ef56Gh78", CANARY])
async def test_pitfall_25_no_key_leaves_in_an_address_or_a_message(key: str) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        words = f"Incorrect API key provided: {key}, or {key[:12]}********, at https://x.test/?key={key}"
        return httpx.Response(401, content=refusal(words, "invalid_api_key"), headers={"x-key": key})

    questions: list[tuple[Any, Any]] = [
        (dialect(), question()),
        (anthropic_api.claude(), anthropic_api.question()),
        (gemini_api.gemini(), gemini_api.question()),
        (responses_api.responses(), responses_api.question()),
    ]
    requests = [spoken.encode(asked, key) for spoken, asked in questions]

    with pytest.raises(ProviderCredentialsInvalid) as caught:
        await answering(respond, key)(question(provider="upstream"))

    told = f"{caught.value!r} {caught.value} {caught.value.message} {caught.value.solution} {caught.value.metadata}"
    assert key[:12] not in told
    assert not any(key in request.url or key in repr(request) or key.encode() in request.body for request in requests)
