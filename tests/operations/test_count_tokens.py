"""Who counts the tokens of a question, and when a rough count takes its place."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    GatewayError,
    MissingCredentials,
    ProviderOverloaded,
    ProviderRejectedRequest,
    ProviderUnreachable,
)
from aimanager_server.core.request import Call
from aimanager_server.core.usage import UsageSource
from aimanager_server.operations.count_tokens import COUNT_SECONDS, Count, Counted
from tests.support.calls import FakeClock, call
from tests.support.layers import attempting

REPORTED = Counted("mock", "mock-large", 42, UsageSource.REPORTED)
ESTIMATED = Counted("mock", "mock-large", 11, UsageSource.ESTIMATED)
QUESTION = "x" * 40


class Counter:
    """Gives these outcomes in turn, the last one for ever."""

    def __init__(self, clock: FakeClock, *outcomes: int | GatewayError | None, seconds: float = 0.0) -> None:
        self._clock = clock
        self._outcomes = outcomes
        self._seconds = seconds
        self.calls: list[Call] = []

    async def count_tokens(self, call: Call) -> int | None:
        outcome = self._outcomes[min(len(self.calls), len(self._outcomes) - 1)]
        self.calls.append(call)
        self._clock.advance(self._seconds)
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome


def counting(counter: Counter, clock: FakeClock, *, is_open: bool = False) -> Count:
    attempt = attempting(clock)
    return Count((attempt,), {"mock": counter}, lambda provider, model: is_open, clock)


async def test_the_providers_count_is_reported() -> None:
    clock = FakeClock()

    assert await counting(Counter(clock, 42), clock)(call(QUESTION)) == REPORTED


async def test_a_provider_that_cannot_count_leaves_an_estimate() -> None:
    clock = FakeClock()

    assert await counting(Counter(clock, None), clock)(call(QUESTION)) == ESTIMATED
    assert await Count((), {}, lambda provider, model: False, clock)(call(QUESTION)) == ESTIMATED


async def test_a_fault_that_passes_is_asked_again() -> None:
    clock = FakeClock()
    counter = Counter(clock, ProviderOverloaded("busy"), 42)

    assert await counting(counter, clock)(call(QUESTION)) == REPORTED
    assert len(counter.calls) == 2


@pytest.mark.parametrize("fault", [MissingCredentials("no key"), ProviderUnreachable("down")])
async def test_a_provider_that_cannot_be_asked_leaves_an_estimate(fault: GatewayError) -> None:
    clock = FakeClock()

    assert await counting(Counter(clock, fault), clock)(call(QUESTION)) == ESTIMATED


async def test_an_open_circuit_is_not_asked() -> None:
    clock = FakeClock()
    counter = Counter(clock, 42)

    assert await counting(counter, clock, is_open=True)(call(QUESTION)) == ESTIMATED
    assert counter.calls == []


async def test_a_question_that_the_provider_refuses_is_refused() -> None:
    clock = FakeClock()

    with pytest.raises(ProviderRejectedRequest):
        await counting(Counter(clock, ProviderRejectedRequest("no")), clock)(call(QUESTION))


async def test_a_slow_count_gives_way_to_an_estimate_while_there_is_time() -> None:
    clock = FakeClock()
    counter = Counter(clock, DeadlineExceeded("late"), seconds=COUNT_SECONDS)

    assert await counting(counter, clock)(call(QUESTION, deadline=2000.0)) == ESTIMATED
    assert counter.calls[0].deadline == 1000.0 + COUNT_SECONDS


async def test_the_callers_deadline_is_the_callers() -> None:
    clock = FakeClock()
    counter = Counter(clock, DeadlineExceeded("late"), seconds=5.0)

    with pytest.raises(DeadlineExceeded):
        await counting(counter, clock)(call(QUESTION, deadline=1005.0))

    assert counter.calls[0].deadline == 1005.0
