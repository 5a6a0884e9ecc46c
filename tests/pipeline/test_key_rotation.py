"""Which key a call gets, and what happens where one does not open the door."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from aimanager_server.core import errors
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import NO_KEY, ApiKey
from aimanager_server.pipeline.key_rotation import Rotate
from tests.support.calls import USAGE, WHOLE, Upstream, call
from tests.support.key_pool import World, used
from tests.support.layers import booked

Logged = list[Any]


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


async def test_keys_take_turns() -> None:
    world, upstream = World(), Upstream()

    for _ in range(4):
        await world.answer(upstream)

    assert used(upstream) == ["1", "2", "1", "2"]
    assert upstream.calls[0].api_key == ApiKey("1", "secret-1")


@pytest.mark.parametrize("refusal", [errors.ProviderCredentialsInvalid("no"), errors.ProviderQuotaExhausted("spent")])
async def test_a_refused_key_gives_way_to_the_next_at_once_and_rests(refusal: GatewayError, logged: Logged) -> None:
    world, upstream = World(), Upstream(refusal, WHOLE)

    for _ in range(3):
        await world.answer(upstream)
    world.clock.advance(60.0)
    for _ in range(2):
        await world.answer(upstream)

    assert used(upstream)[:4] == ["1", "2", "2", "2"]
    assert sorted(used(upstream)[4:]) == ["1", "2"]
    assert world.clock.pauses == []
    (alert,) = logged
    assert alert == {
        "event": "provider.key_refused",
        "log_level": "warning",
        "provider": "mock",
        "key": "1",
        "reason": refusal.reason,
    }


async def test_every_try_is_in_the_head_of_the_answer() -> None:
    world, refused = World(), errors.ProviderCredentialsInvalid("no")

    reply = await world.answer(Upstream(refused, WHOLE))

    tries = (AttemptRecord("mock", "mock-large", refused.reason, 0.0), AttemptRecord("mock", "mock-large", "", 0.0))
    assert reply.metadata.attempts == tries


async def test_one_try_leaves_the_telling_to_others() -> None:
    reply = await World().answer(Upstream())

    assert reply.metadata.attempts == ()


async def test_where_every_key_is_refused_the_first_refusal_is_told_with_every_try() -> None:
    fault = await World().fail(
        Upstream(errors.ProviderQuotaExhausted("spent"), errors.ProviderCredentialsInvalid("no")),
        errors.ProviderQuotaExhausted,
    )

    reasons = [one.error_reason for one in fault.attempts]
    assert reasons == ["PROVIDER_QUOTA_EXHAUSTED", "PROVIDER_CREDENTIALS_INVALID"]


async def test_where_every_key_rests_one_is_tried() -> None:
    world, upstream = World(), Upstream(errors.ProviderCredentialsInvalid("no"))
    await world.fail(upstream, errors.ProviderCredentialsInvalid)

    await world.fail(upstream, errors.ProviderCredentialsInvalid)

    assert used(upstream) == ["1", "2", "1"]


async def test_a_key_at_its_rate_limit_gives_way_and_does_not_rest() -> None:
    world, upstream = World(), Upstream(errors.ProviderRateLimited("slow", retry_after=5.0), WHOLE)

    for _ in range(3):
        await world.answer(upstream)

    assert used(upstream) == ["1", "2", "2", "1"]


async def test_an_open_circuit_gives_way_to_the_next_key() -> None:
    world, upstream = World(), Upstream(errors.CircuitOpen("open", retry_after=9.0), WHOLE)

    reply = await world.answer(upstream)

    assert used(upstream) == ["1", "2"]
    assert [one.error_reason for one in reply.metadata.attempts] == ["CIRCUIT_OPEN", ""]


async def test_an_open_circuit_is_told_only_where_all_are_open_and_then_the_soonest() -> None:
    late, soon = errors.CircuitOpen("open", retry_after=9.0), errors.CircuitOpen("open", retry_after=2.0)

    closed = await World().fail(
        Upstream(late, errors.ProviderCredentialsInvalid("no")), errors.ProviderCredentialsInvalid
    )
    opened = await World().fail(Upstream(late, soon), errors.CircuitOpen)

    assert len(closed.attempts) == 2
    assert opened is soon


@pytest.mark.parametrize(
    "kind", [errors.ProviderInternalError, errors.ProviderRejectedRequest, errors.MissingCredentials]
)
async def test_what_would_fail_with_any_key_is_tried_with_one(kind: type[GatewayError]) -> None:
    upstream = Upstream(kind("no"))

    await World().fail(upstream, kind)

    assert used(upstream) == ["1"]


async def test_what_fails_behind_a_refused_key_is_told_with_both_tries() -> None:
    fault = await World().fail(
        Upstream(errors.ProviderCredentialsInvalid("no"), errors.ProviderInternalError("down")),
        errors.ProviderInternalError,
    )

    assert [one.error_reason for one in fault.attempts] == ["PROVIDER_CREDENTIALS_INVALID", "PROVIDER_ERROR"]


async def test_what_lies_inside_says_its_own_tries() -> None:
    refused = errors.ProviderCredentialsInvalid("no")
    refused.attempts = (AttemptRecord("mock", "mock-large", "X", 1.0), AttemptRecord("mock", "mock-large", "Y", 2.0))

    reply = await World().answer(Upstream(refused, WHOLE))

    assert [one.error_reason for one in reply.metadata.attempts] == ["X", "Y", ""]


async def test_a_try_says_what_it_took() -> None:
    limited = errors.ProviderRateLimited("slow")
    limited.usage = USAGE

    reply = await World().answer(Upstream(limited, WHOLE))

    assert reply.metadata.attempts[0].usage == USAGE


async def test_the_only_key_is_left_to_the_provider_and_its_refusal_is_an_alert(logged: Logged) -> None:
    world, upstream = World(keys=1), Upstream(errors.ProviderCredentialsInvalid("no"))

    fault = await world.fail(upstream, errors.ProviderCredentialsInvalid)

    assert (upstream.calls[0].api_key, fault.attempts) == (NO_KEY, ())
    assert (world.ring.quarantined, logged[0]["key"]) == (1, "1")


async def test_a_provider_without_keys_is_asked_without() -> None:
    world, upstream = World(keys=0), Upstream()

    await world.answer(upstream)
    await Rotate({}, world.budgets, world.clock)(call(), upstream)

    assert [asked.api_key for asked in upstream.calls] == [NO_KEY, NO_KEY]


async def test_a_limit_that_holds_for_every_key_is_met_no_more_often_than_a_call_may_try() -> None:
    world = World(keys=8)
    upstream = Upstream(errors.ProviderRateLimited("busy"))

    await world.fail(booked(upstream), errors.ProviderRateLimited)

    assert len(upstream.calls) == 3


async def test_going_on_after_a_limit_is_paid_for_by_the_retry_budget() -> None:
    world = World(keys=8)
    upstream = Upstream(errors.ProviderRateLimited("busy"))

    for _ in range(20):
        await world.fail(booked(upstream), errors.ProviderRateLimited)

    assert len(upstream.calls) == 20 + 10


async def test_a_key_that_is_only_limited_is_told_before_one_that_is_refused() -> None:
    world = World(keys=2)
    upstream = Upstream(
        errors.ProviderCredentialsInvalid("refused"), errors.ProviderRateLimited("busy", retry_after=1.0)
    )

    fault = await world.fail(booked(upstream), errors.ProviderRateLimited)

    assert fault.retry_after == 1.0
    assert [one.error_reason for one in fault.attempts] == ["PROVIDER_CREDENTIALS_INVALID", "PROVIDER_RATE_LIMITED"]
