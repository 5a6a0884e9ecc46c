"""Which API key is keys, and that no key appears in an error."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from aimanager_server.core.errors import (
    GatewayError,
    MissingCredentials,
    ProviderCredentialsInvalid,
    ProviderPermissionDenied,
    ProviderQuotaExhausted,
    StreamInterrupted,
)
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyPool
from tests.support.chat_completions import CANARY, LIMITS, chat_wire, collect_events, provider_responding
from tests.support.http_servers.scripted import (
    STREAM_ATTEMPT,
    STREAM_BEGINNING,
    UNARY_ATTEMPT,
    always_respond,
    provider_without_key,
    streaming_provider,
)


async def test_a_call_uses_its_own_key() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer two"
        return always_respond()(request)

    await provider_responding(respond, "one", "two")(replace(UNARY_ATTEMPT, api_key=ApiKey("2", "two")))


async def test_without_a_key_in_the_call_the_servers_first_key_is_used() -> None:
    keys: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["authorization"][7:])
        return always_respond()(request)

    provider = provider_responding(respond, "one", "two")
    await provider(UNARY_ATTEMPT)
    await provider(UNARY_ATTEMPT)
    await provider.probe()

    assert keys == ["one", "one", "one"]


async def test_a_probe_does_not_use_a_quarantined_key() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer two"
        return always_respond()(request)

    key_pool = KeyPool([("one", 1), ("two", 1)], lambda: 0.0)
    key_pool.quarantine(ApiKey("1"), 300.0)
    transport = HttpxTransport(httpx.MockTransport(respond))

    await HttpProvider("upstream", chat_wire(), transport, key_pool, LIMITS).probe()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ProviderCredentialsInvalid), (402, ProviderQuotaExhausted), (403, ProviderCredentialsInvalid)],
)
async def test_a_rejected_key_is_redacted_from_the_error(status: int, kind: type[GatewayError]) -> None:
    call = replace(UNARY_ATTEMPT, api_key=ApiKey("1", "mine-1234"))

    with pytest.raises(kind) as caught:
        await provider_responding(always_respond(status, b'{"error":"Bad key mine-1234"}'), "one", "two")(call)

    assert (caught.value.provider, caught.value.model) == ("upstream", "some-model")
    assert "mine-1234" not in str(caught.value)


async def test_a_call_with_a_key_needs_no_server_key() -> None:
    stream = await provider_without_key(api_key_env="UP_API_KEY")(replace(UNARY_ATTEMPT, api_key=ApiKey("own", "mine")))

    assert stream.metadata.provider == "up"


async def test_the_error_for_a_missing_key_names_three_ways_to_set_it() -> None:
    with pytest.raises(MissingCredentials) as caught:
        await provider_without_key(api_key_env="UP_API_KEY")(UNARY_ATTEMPT)

    solution = caught.value.solution
    assert all(option in solution for option in ("UP_API_KEY", "[providers.up]", "AIManager(api_key="))
    assert caught.value.metadata == {"envVar": "UP_API_KEY"}


async def test_a_provider_without_keys_is_called_without_one() -> None:
    assert (await provider_without_key()(UNARY_ATTEMPT)).metadata.provider == "up"


async def test_a_key_quoted_by_the_provider_is_redacted() -> None:
    bodies = (
        *(f'{{"error":"key {CANARY} bad"}}', f"plain {CANARY}"),
        *("x" * 990 + CANARY, "x" * 65_530 + CANARY, CANARY * 99),
    )
    disclosing = []

    for status in (400, 401, 404, 429, 500, 503):
        for body in bodies:
            with pytest.raises(GatewayError) as caught:
                await provider_responding(always_respond(status, body.encode()))(UNARY_ATTEMPT)
            error = caught.value
            assert len(error.message) <= 1000
            if any(CANARY[:8] in text for text in (error.message, str(error), repr(error), error.solution)):
                disclosing.append((status, body))

    assert disclosing == []


async def test_a_secret_header_quoted_by_the_provider_is_redacted() -> None:
    with pytest.raises(GatewayError) as caught:
        await provider_responding(always_respond(400, b'{"error":"header hunter2"}'), secrets=("hunter2",))(
            UNARY_ATTEMPT
        )

    assert "hunter2" not in str(caught.value)


async def test_a_key_quoted_within_a_stream_is_redacted() -> None:
    later = json.dumps({"error": {"message": f"key {CANARY} bad"}}).encode()
    provider, _ = streaming_provider(STREAM_BEGINNING, b"\n\ndata: " + later + b"\n\n")

    stream = await provider(STREAM_ATTEMPT)
    with pytest.raises(StreamInterrupted) as caught:
        await collect_events(stream)

    assert CANARY not in str(caught.value)
    assert (caught.value.provider, caught.value.model) == ("upstream", "some-model")


FORBIDDEN = httpx.Response(403, json={"error": {"message": "No."}})


class Listing:
    """Answers a generation with a status 403 that does not say why, and the model list with other responses."""

    def __init__(self, *responses: httpx.Response | Exception) -> None:
        self.responses = list(responses)
        self.keys: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return FORBIDDEN
        self.keys.append(request.headers["authorization"][7:])
        response = self.responses[min(len(self.keys), len(self.responses)) - 1]
        if isinstance(response, Exception):
            raise response
        return response


@pytest.mark.parametrize(
    ("listing", "kind"),
    [
        (httpx.Response(200, json={"data": []}), ProviderPermissionDenied),
        (httpx.Response(401), ProviderCredentialsInvalid),
        (FORBIDDEN, ProviderCredentialsInvalid),
        # What says nothing about the key does not open its breaker.
        (httpx.Response(404), ProviderPermissionDenied),
        (httpx.Response(500), ProviderPermissionDenied),
        (httpx.ConnectError("refused"), ProviderPermissionDenied),
    ],
)
async def test_a_403_that_does_not_say_why_is_a_key_fault_if_the_model_list_is_forbidden_too(
    listing: httpx.Response | Exception, kind: type[GatewayError]
) -> None:
    respond = Listing(listing)

    with pytest.raises(GatewayError) as caught:
        await provider_responding(respond, "one", "two")(replace(UNARY_ATTEMPT, api_key=ApiKey("2", "two")))

    assert (type(caught.value), caught.value.upstream_status, respond.keys) == (kind, 403, ["two"])


async def test_the_model_list_is_requested_once_for_several_403s_and_never_with_a_callers_key() -> None:
    respond = Listing(httpx.Response(200, json={"data": []}))
    provider = provider_responding(respond, "one", "two")

    for key in ("one", "one", "two"):
        with pytest.raises(ProviderPermissionDenied):
            await provider(replace(UNARY_ATTEMPT, api_key=ApiKey("1", key)))
    with pytest.raises(ProviderPermissionDenied):
        await provider(replace(UNARY_ATTEMPT, api_key=ApiKey(CALLER_KEY_ID, "mine")))

    assert respond.keys == ["one", "two"]
