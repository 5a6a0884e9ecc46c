"""Token counts: reported by the provider, or estimated."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    GatewayError,
    MissingCredentials,
    ProviderOverloaded,
    ProviderRejectedRequest,
    ProviderUnreachable,
)
from aimanager_server.core.request import Attempt, Target
from aimanager_server.core.usage import UsageSource
from aimanager_server.operations.count_tokens import COUNT_TIMEOUT_SECONDS, CountTokens, TokenCount
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.layers import retry_layer

REPORTED = TokenCount("mock", "mock-large", 42, UsageSource.REPORTED)
ESTIMATED = TokenCount("mock", "mock-large", 11, UsageSource.ESTIMATED)
PROMPT = "x" * 40


class Counter:
    """Returns or raises the outcomes in turn, the last one repeatedly."""

    def __init__(self, clock: FakeClock, *outcomes: int | GatewayError | None, seconds: float = 0.0) -> None:
        self._clock = clock
        self._outcomes = outcomes
        self._seconds = seconds
        self.requests: list[Attempt[Any]] = []

    async def count_tokens(self, attempt: Attempt[Any]) -> int | None:
        outcome = self._outcomes[min(len(self.requests), len(self._outcomes) - 1)]
        self.requests.append(attempt)
        self._clock.advance(self._seconds)
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome


def count_tokens(counter: Counter, clock: FakeClock, *, is_open: bool = False) -> CountTokens:
    return CountTokens(retry_layer(clock).over, {"mock": counter}, lambda provider, model: is_open, clock)


async def test_provider_count_is_reported() -> None:
    clock = FakeClock()

    assert await count_tokens(Counter(clock, 42), clock)(make_call(PROMPT)) == REPORTED


async def test_provider_without_token_counting_gives_an_estimate() -> None:
    clock = FakeClock()

    assert await count_tokens(Counter(clock, None), clock)(make_call(PROMPT)) == ESTIMATED
    assert (
        await CountTokens(retry_layer(clock).over, {}, lambda provider, model: False, clock)(make_call(PROMPT))
        == ESTIMATED
    )


async def test_transient_error_is_retried() -> None:
    clock = FakeClock()
    counter = Counter(clock, ProviderOverloaded("busy"), 42)

    assert await count_tokens(counter, clock)(make_call(PROMPT)) == REPORTED
    assert len(counter.requests) == 2


@pytest.mark.parametrize("error", [MissingCredentials("no key"), ProviderUnreachable("down")])
async def test_unavailable_provider_gives_an_estimate(error: GatewayError) -> None:
    clock = FakeClock()

    assert await count_tokens(Counter(clock, error), clock)(make_call(PROMPT)) == ESTIMATED


async def test_open_breaker_skips_the_provider() -> None:
    clock = FakeClock()
    counter = Counter(clock, 42)

    assert await count_tokens(counter, clock, is_open=True)(make_call(PROMPT)) == ESTIMATED
    assert counter.requests == []


async def test_request_rejected_by_the_provider_raises() -> None:
    clock = FakeClock()

    with pytest.raises(ProviderRejectedRequest):
        await count_tokens(Counter(clock, ProviderRejectedRequest("no")), clock)(make_call(PROMPT))


async def test_count_timeout_gives_an_estimate() -> None:
    clock = FakeClock()
    counter = Counter(clock, DeadlineExceeded("late"), seconds=COUNT_TIMEOUT_SECONDS)

    assert await count_tokens(counter, clock)(make_call(PROMPT, deadline=2000.0)) == ESTIMATED
    assert counter.requests[0].deadline == 1000.0 + COUNT_TIMEOUT_SECONDS


async def test_callers_deadline_is_raised() -> None:
    clock = FakeClock()
    counter = Counter(clock, DeadlineExceeded("late"), seconds=5.0)

    with pytest.raises(DeadlineExceeded):
        await count_tokens(counter, clock)(make_call(PROMPT, deadline=1005.0))

    assert counter.requests[0].deadline == 1005.0


async def test_failed_count_does_not_fall_back_to_the_next_target() -> None:
    clock = FakeClock()
    counter = Counter(clock, ProviderUnreachable("down"))
    targets = (Target("mock", "mock-large"), Target("mock", "mock-small"))

    assert await count_tokens(counter, clock)(make_call(PROMPT, targets=targets)) == ESTIMATED
    assert {attempt.target.model for attempt in counter.requests} == {"mock-large"}
