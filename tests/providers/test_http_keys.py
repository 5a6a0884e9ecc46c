"""Which key goes out, and that none comes back."""

from __future__ import annotations

import json

import httpx
import pytest

from aimanager_server.call import Caller
from aimanager_server.errors import (
    CallerKeyRejected,
    MissingCredentials,
    ProviderAuth,
    ProviderQuota,
    StreamInterrupted,
)
from aimanager_server.fault import Fault
from chat_world import (
    CANARY,
    answering,
    events_of,
    question,
)
from scripted_http import (
    BEGUN,
    PLAIN,
    STREAMED,
    always,
    keyless,
    streaming,
    unreachable,
)


async def test_keys_take_turns() -> None:
    used: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        used.append(request.headers["authorization"][7:])
        return always()(request)

    provider = answering(respond, "one", "two")
    for _ in range(4):
        await provider(PLAIN)

    assert used == ["one", "two", "one", "two"]


async def test_a_refused_key_gives_way_to_the_next_and_rests() -> None:
    used: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        used.append(request.headers["authorization"][7:])
        return always(401 if used[-1] == "one" else 200)(request)

    provider = answering(respond, "one", "two")
    for _ in range(3):
        await provider(PLAIN)

    assert used == ["one", "two", "two", "two"]


@pytest.mark.parametrize(("status", "kind"), [(401, ProviderAuth), (402, ProviderQuota), (403, ProviderAuth)])
async def test_where_every_key_is_refused_the_first_refusal_is_told(status: int, kind: type[Fault]) -> None:
    with pytest.raises(kind) as caught:
        await answering(always(status, b""), "one", "two")(PLAIN)

    assert (caught.value.provider, caught.value.model) == ("upstream", "some-model")


async def test_the_callers_own_key_goes_before_the_servers() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer mine"
        return always()(request)

    await answering(respond)(question(provider="upstream", caller=Caller("ann", provider_keys={"upstream": "mine"})))


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_refusal_of_the_callers_own_key_is_the_callers_fault(status: int) -> None:
    caller = Caller("ann", provider_keys={"upstream": "mine-1234"})

    with pytest.raises(CallerKeyRejected) as caught:
        await answering(always(status, b'{"error":"Bad key mine-1234"}'))(question(provider="upstream", caller=caller))

    assert caught.value.row.breaker == "ignore"
    assert (caught.value.upstream_status, caught.value.provider) == (status, "upstream")
    assert "mine-1234" not in str(caught.value)


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "clé", "two words"])
async def test_a_key_that_no_header_can_carry_is_refused_unsent(key: str) -> None:
    caller = Caller("ann", provider_keys={"upstream": key})

    with pytest.raises(CallerKeyRejected) as caught:
        await answering(unreachable)(question(provider="upstream", caller=caller))

    assert key not in str(caught.value)


async def test_a_missing_key_says_the_three_places_it_can_come_from() -> None:
    with pytest.raises(MissingCredentials) as caught:
        await keyless(key_variable="UP_API_KEY")(PLAIN)

    solution = caught.value.solution
    assert all(place in solution for place in ("UP_API_KEY", "[providers.up]", "AIManager(api_key="))
    assert caught.value.metadata == {"envVar": "UP_API_KEY"}


async def test_a_provider_without_keys_is_asked_without() -> None:
    assert (await keyless()(PLAIN)).head.provider == "up"


@pytest.mark.parametrize(
    "echo",
    [f'{{"error":"key {CANARY} bad"}}', f"plain {CANARY}", "x" * 990 + CANARY, "x" * 65_530 + CANARY, CANARY * 99],
)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_a_key_that_the_provider_repeats_never_leaves(status: int, echo: str) -> None:
    with pytest.raises(Fault) as caught:
        await answering(always(status, echo.encode()))(PLAIN)

    fault = caught.value
    assert not any(CANARY[:8] in text for text in (fault.message, str(fault), repr(fault), fault.solution))
    assert len(fault.message) <= 1000


async def test_a_secret_header_that_the_provider_repeats_never_leaves() -> None:
    with pytest.raises(Fault) as caught:
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
