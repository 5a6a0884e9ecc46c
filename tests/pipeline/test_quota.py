import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.config.settings import ProviderTier, Tier
from aimanager_server.core.attempts import AttemptLog
from aimanager_server.core.errors import (
    ProviderCredentialsInvalid,
    ProviderInternalError,
    RateLimited,
    StreamInterrupted,
)
from aimanager_server.core.handler import AttemptHandler, CallHandler, compose
from aimanager_server.core.request import Attempt, Call, Target
from aimanager_server.core.response import Finished, FinishReason, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.pipeline.quota import CallerQuota, ProviderQuota
from aimanager_server.resilience.rate_limiter import RateLimiter
from tests.support.calls import TARGET, make_call
from tests.support.clock import FakeClock
from tests.support.layers import retrying, single_attempt, with_accounting
from tests.support.upstream import USAGE, ScriptedUpstream

HUNDRED_TOKENS = (Finished(FinishReason.STOP, usage=replace(USAGE, input_tokens=60, output_tokens=40)),)


def quota_layer(tokens: int | None = None, **quotas: ProviderTier) -> CallerQuota:
    return CallerQuota({"free": Tier(tokens_per_minute=tokens, providers=quotas)}, RateLimiter(FakeClock()))


def quota_handler(layer: CallerQuota, upstream: AttemptHandler) -> CallHandler:
    """Return a handler that makes one attempt within the quotas of the caller and of the provider."""
    attempts = compose((ProviderQuota(layer),), with_accounting(upstream))
    return compose((layer,), single_attempt(attempts))


async def send(layer: CallerQuota, upstream: ScriptedUpstream | None = None) -> None:
    await (await quota_handler(layer, upstream or ScriptedUpstream())(make_call())).result()


async def test_undefined_tier_is_unlimited() -> None:
    layer = CallerQuota({}, RateLimiter(FakeClock()))

    for _ in range(100):
        await send(layer)


async def test_requests_per_provider_are_limited() -> None:
    layer = quota_layer(mock=ProviderTier(requests_per_minute=2))
    await send(layer)
    await send(layer)

    with pytest.raises(RateLimited) as raised:
        await send(layer)

    assert raised.value.metadata["quota"] == "mock.requests_per_minute"


async def test_quota_of_another_provider_is_unaffected() -> None:
    layer = quota_layer(claude=ProviderTier(requests_per_minute=1))

    for _ in range(3):
        await send(layer)


async def test_token_reservation_is_adjusted_to_the_usage() -> None:
    layer = quota_layer(tokens=150)

    await send(layer, ScriptedUpstream(HUNDRED_TOKENS))
    await send(layer, ScriptedUpstream(HUNDRED_TOKENS))

    with pytest.raises(RateLimited, match="Rate limit exceeded"):
        await send(layer)


async def test_failed_call_returns_its_reservation() -> None:
    layer = quota_layer(tokens=10)
    for _ in range(50):
        with pytest.raises(ProviderInternalError):
            await compose((layer,), ScriptedUpstream(ProviderInternalError("down")))(make_call("x" * 39))

    await send(layer)


async def test_cancelled_call_returns_its_reservation() -> None:
    layer = quota_layer(tokens=10)

    async def cancelled(_call: Call) -> ResponseStream:
        raise asyncio.CancelledError

    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            await compose((layer,), cancelled)(make_call("x" * 39))


async def test_interrupted_response_is_charged_for_its_usage() -> None:
    layer = quota_layer(tokens=100)
    interruption = StreamInterrupted("cut", usage=replace(USAGE, input_tokens=60, output_tokens=40))

    with pytest.raises(StreamInterrupted):
        await send(layer, ScriptedUpstream((TextDelta(0, "Hel"), interruption)))

    with pytest.raises(RateLimited):
        await send(layer)


async def test_rejection_by_one_quota_leaves_the_others_unchanged() -> None:
    layer = quota_layer(tokens=3, mock=ProviderTier(requests_per_minute=1))
    await send(layer, ScriptedUpstream((Finished(FinishReason.STOP),)))

    for _ in range(5):
        with pytest.raises(RateLimited) as raised:
            await send(layer)
        assert raised.value.metadata["quota"] == "mock.requests_per_minute"


async def test_fallback_provider_has_its_own_quota() -> None:
    layer = quota_layer(claude=ProviderTier(requests_per_minute=1))
    targets = (TARGET, Target("claude", "claude-opus-5-5"))

    async def first_fails(request: Attempt[Any]) -> ResponseStream:
        if request.target.provider == "mock":
            raise ProviderCredentialsInvalid("refused")
        return await ScriptedUpstream()(request)

    handler = compose((layer,), retrying(FakeClock(), first_fails, (ProviderQuota(layer),)))
    await (await handler(make_call(targets=targets))).result()
    second = make_call(targets=targets)

    with pytest.raises(ProviderCredentialsInvalid):
        await handler(second)

    assert [record.error_reason for record in second.attempts.records] == [
        "PROVIDER_CREDENTIALS_INVALID",
        "RATE_LIMITED",
    ]


async def test_missing_usage_is_charged_as_estimated() -> None:
    layer = quota_layer(tokens=1000)
    upstream = ScriptedUpstream((TextDelta(0, "x" * 4000), Finished(FinishReason.STOP)))

    await send(layer, upstream)

    with pytest.raises(RateLimited):
        await send(layer, upstream)


async def test_reservation_is_adjusted_even_if_closing_fails() -> None:
    layer = quota_layer(tokens=10)

    async def close() -> None:
        raise OSError("stuck")

    async def unclosable(request: Call) -> ResponseStream:
        stream = await ScriptedUpstream()(request)
        return ResponseStream.from_iterator(stream.metadata, aiter(stream), close)

    response = await compose((layer,), unclosable)(make_call("x" * 39))
    with pytest.raises(OSError, match="stuck"):
        await response.aclose()

    await send(layer)


async def test_retries_at_one_provider_take_one_request_of_its_quota() -> None:
    layer = quota_layer(mock=ProviderTier(requests_per_minute=1))
    upstream = ScriptedUpstream(ProviderInternalError("down"), HUNDRED_TOKENS)
    handler = compose((layer,), retrying(FakeClock(), upstream, (ProviderQuota(layer),)))

    await (await handler(make_call())).result()

    assert len(upstream.requests) == 2


async def test_branches_of_a_call_share_its_reservation() -> None:
    layer = quota_layer(mock=ProviderTier(requests_per_minute=1))
    attempts = compose((ProviderQuota(layer),), with_accounting(ScriptedUpstream(HUNDRED_TOKENS)))

    async def two_branches(call: Call) -> ResponseStream:
        for _ in range(2):
            stream = await single_attempt(attempts)(replace(call, attempts=AttemptLog(call.attempts)))
            await stream.result()
        return await ScriptedUpstream()(call)

    call = make_call()
    await (await compose((layer,), two_branches)(call)).result()

    assert len(call.attempts.records) == 2


@pytest.mark.parametrize("is_read", [True, False])
async def test_no_reservation_outlives_its_call(is_read: bool) -> None:
    layer, call = quota_layer(tokens=1000), make_call()
    response = await quota_handler(layer, ScriptedUpstream())(call)
    while_in_flight = layer.reservation_of(call)

    await (response.result() if is_read else response.aclose())

    assert while_in_flight is not None
    assert layer.reservation_of(call) is None
