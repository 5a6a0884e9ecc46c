"""API keys in the retry loop: their selection, and the next key after an error of one key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import CALLER_KEY_ID, NO_KEY, ApiKey, Attempt, Call, Caller
from aimanager_server.core.response import TextDelta
from aimanager_server.core.stream import ResponseStream
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.key_pool import Setup, key_ids
from tests.support.layers import retrying
from tests.support.upstream import RESPONSE_EVENTS, USAGE, ScriptedUpstream

CALLER = Caller("ann", provider_keys={"mock": "mine-1234", "other": "not here"})
Logged = list[Any]


@pytest.fixture(autouse=True)
def logged() -> Any:
    with structlog.testing.capture_logs() as entries:
        yield entries


def reasons(call: Call) -> list[str]:
    return [record.error_reason for record in call.attempts.records]


async def test_keys_are_used_in_turn() -> None:
    setup, upstream = Setup(), ScriptedUpstream()

    for _ in range(4):
        await setup.send(upstream)

    assert key_ids(upstream) == ["1", "2", "1", "2"]
    assert upstream.requests[0].api_key == ApiKey("1", "secret-1")


@pytest.mark.parametrize("rejection", [errors.ProviderCredentialsInvalid("no"), errors.ProviderQuotaExhausted("spent")])
async def test_rejected_key_is_quarantined_and_the_next_key_tried_at_once(
    rejection: GatewayError, logged: Logged
) -> None:
    setup, upstream = Setup(), ScriptedUpstream(rejection, RESPONSE_EVENTS)

    for _ in range(3):
        await setup.send(upstream)
    setup.clock.advance(300.0)
    for _ in range(2):
        await setup.send(upstream)

    assert key_ids(upstream)[:4] == ["1", "2", "2", "2"]
    assert sorted(key_ids(upstream)[4:]) == ["1", "2"]
    assert setup.clock.sleeps == []
    (alert,) = logged
    assert alert == {
        "event": "provider.key_rejected",
        "log_level": "warning",
        "provider": "mock",
        "key_id": "1",
        "reason": rejection.reason,
    }


async def test_every_attempt_is_in_the_response_metadata_with_its_key() -> None:
    setup, rejection = Setup(), errors.ProviderCredentialsInvalid("no")

    response = await setup.send(ScriptedUpstream(rejection, RESPONSE_EVENTS))

    assert [(record.key, record.key_id, record.error_reason) for record in response.metadata.attempts] == [
        (("mock", "mock-large"), "1", rejection.reason),
        (("mock", "mock-large"), "2", ""),
    ]


async def test_first_rejection_is_raised_if_all_keys_fail() -> None:
    call = make_call()

    await Setup().fail(
        ScriptedUpstream(errors.ProviderQuotaExhausted("spent"), errors.ProviderCredentialsInvalid("no")),
        errors.ProviderQuotaExhausted,
        call,
    )

    assert reasons(call) == ["PROVIDER_QUOTA_EXHAUSTED", "PROVIDER_CREDENTIALS_INVALID"]


async def test_one_key_is_tried_if_all_are_quarantined() -> None:
    setup, upstream = Setup(), ScriptedUpstream(errors.ProviderCredentialsInvalid("no"))
    await setup.fail(upstream, errors.ProviderCredentialsInvalid)

    await setup.fail(upstream, errors.ProviderCredentialsInvalid)

    assert key_ids(upstream) == ["1", "2", "1"]


async def test_rate_limited_key_is_skipped_and_not_quarantined() -> None:
    setup, upstream = Setup(), ScriptedUpstream(errors.ProviderRateLimited("slow", retry_after=5.0), RESPONSE_EVENTS)

    for _ in range(3):
        await setup.send(upstream)

    assert key_ids(upstream) == ["1", "2", "2", "1"]
    assert setup.key_pool.quarantined_count == 0
    assert setup.clock.sleeps == []


async def test_open_breaker_tries_the_next_key() -> None:
    setup = Setup(is_accounted=False)
    upstream = ScriptedUpstream(errors.CircuitOpen("open", retry_after=9.0), RESPONSE_EVENTS)

    response = await setup.send(upstream)

    assert key_ids(upstream) == ["1", "2"]
    assert [record.error_reason for record in response.metadata.attempts] == ["CIRCUIT_OPEN", ""]


async def test_open_breaker_is_raised_only_if_all_are_open_with_the_shortest_wait() -> None:
    later, sooner = errors.CircuitOpen("open", retry_after=9.0), errors.CircuitOpen("open", retry_after=2.0)
    call = make_call()

    await Setup(is_accounted=False).fail(
        ScriptedUpstream(later, errors.ProviderCredentialsInvalid("no")), errors.ProviderCredentialsInvalid, call
    )
    error = await Setup(is_accounted=False).fail(ScriptedUpstream(later, sooner), errors.CircuitOpen)

    assert reasons(call) == ["CIRCUIT_OPEN", "PROVIDER_CREDENTIALS_INVALID"]
    assert error is sooner


@pytest.mark.parametrize("kind", [errors.ProviderRejectedRequest, errors.MissingCredentials, errors.Overloaded])
async def test_error_not_related_to_the_key_is_raised_at_once(kind: type[GatewayError]) -> None:
    upstream = ScriptedUpstream(kind("no"))

    await Setup().fail(upstream, kind)

    assert key_ids(upstream) == ["1"]


async def test_error_after_a_rejected_key_is_retried_with_the_usable_keys() -> None:
    call = make_call()
    upstream = ScriptedUpstream(errors.ProviderCredentialsInvalid("no"), errors.ProviderInternalError("down"))

    await Setup().fail(upstream, errors.ProviderInternalError, call)

    assert reasons(call) == ["PROVIDER_CREDENTIALS_INVALID", "PROVIDER_ERROR", "PROVIDER_ERROR"]
    assert key_ids(upstream) == ["1", "2", "2"]


async def test_failed_attempt_carries_its_usage() -> None:
    limited = errors.ProviderRateLimited("slow", usage=USAGE)

    response = await Setup().send(ScriptedUpstream(limited, RESPONSE_EVENTS))

    assert response.metadata.attempts[0].usage == USAGE


async def test_single_key_is_not_set_on_the_attempt_but_its_rejection_is_logged(logged: Logged) -> None:
    setup, upstream = Setup(keys=1), ScriptedUpstream(errors.ProviderCredentialsInvalid("no"))

    await setup.fail(upstream, errors.ProviderCredentialsInvalid)

    assert [sent.api_key for sent in upstream.requests] == [NO_KEY]
    assert (setup.key_pool.quarantined_count, logged[0]["key_id"]) == (1, "1")


async def test_provider_without_keys_is_called_without_key(logged: Logged) -> None:
    setup, upstream = Setup(keys=0), ScriptedUpstream()
    rejecting = ScriptedUpstream(errors.ProviderCredentialsInvalid("no"))

    await setup.send(upstream)
    await retrying(FakeClock(), upstream)(make_call())
    await setup.fail(rejecting, errors.ProviderCredentialsInvalid)

    assert [sent.api_key for sent in (*upstream.requests, *rejecting.requests)] == [NO_KEY] * 3
    assert logged == []


async def test_rate_limit_on_every_key_stops_after_max_attempts() -> None:
    upstream = ScriptedUpstream(errors.ProviderRateLimited("busy"))

    await Setup(keys=8).fail(upstream, errors.ProviderRateLimited)

    assert key_ids(upstream) == ["1", "2", "3"]


async def test_next_key_after_a_rate_limit_spends_the_retry_budget() -> None:
    setup = Setup(keys=8)
    upstream = ScriptedUpstream(errors.ProviderRateLimited("busy"))

    for _ in range(20):
        await setup.fail(upstream, errors.ProviderRateLimited)

    burst, deposits = 10, 20 * setup.retry.settings.budget_ratio
    assert 20 + burst <= len(upstream.requests) <= 20 + burst + deposits


async def test_next_key_after_a_rate_limit_that_was_not_sent_is_free() -> None:
    upstream = ScriptedUpstream(errors.ProviderRateLimited("blocked", retry_after=600.0))

    await Setup(keys=8, is_accounted=False).fail(upstream, errors.ProviderRateLimited)

    assert key_ids(upstream) == ["1", "2", "3", "4", "5", "6", "7", "8"]


async def test_rate_limit_is_raised_in_preference_to_a_rejected_key() -> None:
    call = make_call()
    upstream = ScriptedUpstream(
        errors.ProviderCredentialsInvalid("rejection"), errors.ProviderRateLimited("busy", retry_after=600.0)
    )

    error = await Setup().fail(upstream, errors.ProviderRateLimited, call)

    assert error.retry_after == 600.0
    assert reasons(call) == ["PROVIDER_CREDENTIALS_INVALID", "PROVIDER_RATE_LIMITED"]


async def test_wait_for_a_rate_limit_begins_with_a_usable_key() -> None:
    setup = Setup()
    upstream = ScriptedUpstream(
        errors.ProviderCredentialsInvalid("rejection"),
        errors.ProviderRateLimited("busy", retry_after=1.0),
        RESPONSE_EVENTS,
    )

    await setup.send(upstream)

    assert key_ids(upstream) == ["1", "2", "2"]
    assert setup.clock.sleeps == [1.0]


@pytest.mark.parametrize("keys", [0, 1, 2])
async def test_caller_key_precedes_the_servers_keys(keys: int) -> None:
    upstream = ScriptedUpstream()

    await Setup(keys).send(upstream, make_call(caller=CALLER))

    assert upstream.requests[0].api_key == ApiKey(CALLER_KEY_ID, "mine-1234")


@pytest.mark.parametrize(
    ("kind", "solution"), [(errors.ProviderCredentialsInvalid, ""), (errors.ProviderQuotaExhausted, "Pay.")]
)
async def test_rejected_caller_key_is_reported_to_the_caller(
    kind: type[GatewayError], solution: str, logged: Logged
) -> None:
    rejection = kind("Bad key", solution="Pay.", provider="mock", model="mock-large", upstream_status=402)
    setup, upstream, call = Setup(), ScriptedUpstream(rejection), make_call(caller=CALLER)

    error = await setup.fail(upstream, errors.CallerKeyRejected, call)

    assert (error.spec.breaker_effect, error.spec.fallback) == ("ignore", "never")
    assert (error.message, error.upstream_status, error.provider) == ("Bad key", 402, "mock")
    assert error.solution == (solution or errors.CallerKeyRejected.spec.solution)
    assert (key_ids(upstream), setup.key_pool.quarantined_count, logged) == ([CALLER_KEY_ID], 0, [])
    assert reasons(call) == ["PROVIDER_KEY_REJECTED"]


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "clé", "two words"])
async def test_caller_key_invalid_in_a_header_is_rejected_without_sending(key: str) -> None:
    upstream, call = ScriptedUpstream(), make_call(caller=Caller("ann", provider_keys={"mock": key}))

    error = await Setup().fail(upstream, errors.CallerKeyRejected, call)

    assert upstream.requests == []
    assert key not in str(error)
    assert [(record.error_reason, record.sent_at) for record in call.attempts.records] == [
        ("PROVIDER_KEY_REJECTED", None)
    ]


async def test_least_loaded_key_is_used() -> None:
    setup, upstream = Setup(selection="least_loaded"), ScriptedUpstream()
    first = await setup.send(upstream)
    second = await setup.send(upstream)

    await first.result()
    third = await setup.send(upstream)
    await second.aclose()
    await third.aclose()
    await setup.send(upstream)

    assert key_ids(upstream) == ["1", "2", "1", "2"]


async def cancelled(_: Attempt[Any]) -> ResponseStream:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("outcome", "raised"),
    [
        (errors.ProviderRejectedRequest("no"), errors.ProviderRejectedRequest),
        ((TextDelta(0, "Hel"), errors.StreamInterrupted("cut")), errors.StreamInterrupted),
        (cancelled, asyncio.CancelledError),
    ],
)
async def test_key_is_released_after_failure_and_cancellation(outcome: Any, raised: type[BaseException]) -> None:
    setup, used = Setup(selection="least_loaded"), list[str]()
    upstream = outcome if callable(outcome) else ScriptedUpstream(outcome)

    async def record_key(attempt: Attempt[Any]) -> ResponseStream:
        used.append(attempt.api_key.id)
        return await upstream(attempt)

    in_flight = await setup.send(ScriptedUpstream())
    for _ in range(4):
        with pytest.raises(raised):
            await (await setup.send(record_key)).result()

    assert used == ["2", "2", "2", "2"]
    await in_flight.aclose()
