"""Which key goes out, and that none comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest

from aimanager_server.core.errors import (
    GatewayError,
    MissingCredentials,
    ProviderCredentialsInvalid,
    ProviderQuotaExhausted,
    StreamInterrupted,
)
from aimanager_server.core.request import ApiKey
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyRing
from tests.support.chat_completions import CANARY, LIMITS, answering, dialect, events_of
from tests.support.http_servers.scripted import BEGUN, PLAIN, STREAMED, always, keyless, streaming


async def test_a_call_goes_out_with_its_own_key() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer two"
        return always()(request)

    await answering(respond, "one", "two")(replace(PLAIN, api_key=ApiKey("2", "two")))


async def test_without_one_the_servers_first_key_goes_out_and_no_turn_is_taken() -> None:
    sent: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"][7:])
        return always()(request)

    provider = answering(respond, "one", "two")
    await provider(PLAIN)
    await provider(PLAIN)
    await provider.probe()

    assert sent == ["one", "one", "one"]


async def test_a_probe_leaves_a_refused_key_alone() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer two"
        return always()(request)

    ring = KeyRing([("one", 1), ("two", 1)], lambda: 0.0)
    ring.refused(ApiKey("1"))
    transport = HttpxTransport(httpx.MockTransport(respond))

    await HttpProvider("upstream", dialect(), transport, ring, LIMITS).probe()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ProviderCredentialsInvalid), (402, ProviderQuotaExhausted), (403, ProviderCredentialsInvalid)],
)
async def test_a_refusal_is_told_and_does_not_repeat_the_key(status: int, kind: type[GatewayError]) -> None:
    call = replace(PLAIN, api_key=ApiKey("own", "mine-1234"))

    with pytest.raises(kind) as caught:
        await answering(always(status, b'{"error":"Bad key mine-1234"}'), "one", "two")(call)

    assert (caught.value.provider, caught.value.model) == ("upstream", "some-model")
    assert "mine-1234" not in str(caught.value)


async def test_a_call_that_brings_a_key_needs_none_of_the_servers() -> None:
    reply = await keyless(key_variable="UP_API_KEY")(replace(PLAIN, api_key=ApiKey("own", "mine")))

    assert reply.metadata.provider == "up"


async def test_a_missing_key_says_the_three_places_it_can_come_from() -> None:
    with pytest.raises(MissingCredentials) as caught:
        await keyless(key_variable="UP_API_KEY")(PLAIN)

    solution = caught.value.solution
    assert all(place in solution for place in ("UP_API_KEY", "[providers.up]", "AIManager(api_key="))
    assert caught.value.metadata == {"envVar": "UP_API_KEY"}


async def test_a_provider_without_keys_is_asked_without() -> None:
    assert (await keyless()(PLAIN)).metadata.provider == "up"


@pytest.mark.parametrize(
    "echo",
    [f'{{"error":"key {CANARY} bad"}}', f"plain {CANARY}", "x" * 990 + CANARY, "x" * 65_530 + CANARY, CANARY * 99],
)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_a_key_that_the_provider_repeats_never_leaves(status: int, echo: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await answering(always(status, echo.encode()))(PLAIN)

    fault = caught.value
    assert not any(CANARY[:8] in text for text in (fault.message, str(fault), repr(fault), fault.solution))
    assert len(fault.message) <= 1000


async def test_a_secret_header_that_the_provider_repeats_never_leaves() -> None:
    with pytest.raises(GatewayError) as caught:
        await answering(always(400, b'{"error":"header hunter2"}'), secrets=("hunter2",))(PLAIN)

    assert "hunter2" not in str(caught.value)


async def test_a_key_repeated_within_a_stream_never_leaves() -> None:
    later = json.dumps({"error": {"message": f"key {CANARY} bad"}}).encode()
    provider, _ = streaming(BEGUN, b"\n\ndata: " + later + b"\n\n")

    reply = await provider(STREAMED)
    with pytest.raises(StreamInterrupted) as caught:
        await events_of(reply)

    assert CANARY not in str(caught.value)
    assert (caught.value.provider, caught.value.model) == ("upstream", "some-model")
