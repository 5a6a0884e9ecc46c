"""Whether a rate limit admits a request: asked of a server in this process, and refused by a gateway."""

from __future__ import annotations

import math

import pytest

from aimanager import (
    AIManager,
    AsyncAIManager,
    ConfigurationError,
    InvalidProviderError,
    InvalidRequestError,
    RateLimitError,
    RateLimitResult,
)

TIERS = {
    "tiers": {
        "free": {"requests_per_minute": 2, "providers": {"mock": {"requests_per_minute": 1}}},
        "paid": {"requests_per_minute": 60},
    }
}


def test_nothing_is_limited_without_tiers() -> None:
    with AIManager("any key", provider="mock") as ai:
        ai.request("Hi")

        assert ai.limits.check("mock") == RateLimitResult(allowed=True)
        assert ai.limits.check("claude", "any").allowed


def test_the_quotas_of_the_provider_and_of_the_tier_are_checked_and_nothing_is_taken() -> None:
    with AIManager.embedded(provider="mock", config=TIERS) as ai:
        before = [ai.limits.check("mock", tier="free") for _ in range(3)]
        ai.request("Hi")
        rejected, other_provider = ai.limits.check("mock"), ai.limits.check("claude")

        assert before == [RateLimitResult(allowed=True)] * 3
        assert not rejected.allowed
        assert rejected.retry_after is not None
        assert 0 < rejected.retry_after <= 60
        assert rejected.message == f"Rate limit exceeded. Retry after {math.ceil(rejected.retry_after)} seconds."
        assert other_provider.allowed
        assert ai.limits.check("mock", "paid").allowed
        with pytest.raises(RateLimitError, match=r"^Rate limit exceeded\. Retry after \d+ seconds\. Quota: mock"):
            ai.request("Hi", timeout=5)


def test_a_check_raises_for_what_does_not_exist_and_after_close() -> None:
    with AIManager.embedded(provider="mock", config=TIERS) as ai:
        with pytest.raises(InvalidProviderError, match="Provider 'nobody' not found"):
            ai.limits.check("nobody")
        with pytest.raises(InvalidRequestError, match="Unknown tier 'gold'; defined tiers: free, paid"):
            ai.limits.check("mock", "gold")
    with pytest.raises(ConfigurationError, match="The client is closed"):
        ai.limits.check("mock")
    unused = AIManager.embedded(provider="mock")
    unused.close()
    with pytest.raises(ConfigurationError, match="The client is closed"):
        unused.limits.check("mock")


def test_a_server_that_cannot_start_says_why() -> None:
    config = {"routes": {"chat": {"targets": ["mock/no-such-model"]}}}
    with (
        AIManager.embedded(provider="mock", config=config) as ai,
        pytest.raises(ConfigurationError, match=r"Cannot start the server in this process: .*no-such-model"),
    ):
        ai.limits.check("mock")


def test_a_gateway_decides_for_itself() -> None:
    with pytest.raises(ConfigurationError, match="a gateway decides for itself"):
        AIManager.gateway("127.0.0.1:1").limits.check("mock")


async def test_an_asyncio_client_checks_too() -> None:
    async with AsyncAIManager("any key", provider="mock") as ai:
        assert (await ai.limits.check("mock")).allowed
        assert (await ai.health.check("mock")).status == "HEALTHY"
