"""Retries as a share of the requests."""

from __future__ import annotations

from aimanager_server.config.resilience import RetrySettings
from aimanager_server.core.request import Caller
from aimanager_server.resilience.retry_budget import RetryBudget, RetryBudgets
from tests.support.calls import make_call
from tests.support.clock import FakeClock


def spend_all(budget: RetryBudget) -> int:
    """Withdraw until the budget is exhausted; return the number of retries."""
    count = 0
    while budget.allows_retry:
        budget.withdraw()
        count += 1
    return count


def test_new_budget_allows_its_burst() -> None:
    assert spend_all(RetryBudget(RetrySettings(budget_burst=10), FakeClock())) == 10


def test_ten_requests_allow_one_retry() -> None:
    budget = RetryBudget(RetrySettings(budget_ratio=0.1, budget_burst=0), FakeClock())

    for _ in range(101):
        budget.deposit()

    assert spend_all(budget) == 10


def test_burst_refills_by_one_a_second_up_to_its_size() -> None:
    clock = FakeClock()
    budget = RetryBudget(RetrySettings(budget_burst=10), clock)
    spend_all(budget)

    clock.advance(3)
    after_three_seconds = spend_all(budget)
    clock.advance(3600)
    after_an_hour = spend_all(budget)

    assert (after_three_seconds, after_an_hour) == (3, 10)


def test_outage_allows_a_tenth_of_the_requests_and_the_burst() -> None:
    budget, retries = RetryBudget(RetrySettings(budget_ratio=0.1, budget_burst=10), FakeClock()), 0

    for _ in range(1000):
        budget.deposit()
        retries += spend_all(budget)

    assert 109 <= retries <= 110


def test_each_provider_has_its_own_budget() -> None:
    budgets = RetryBudgets(RetrySettings(), FakeClock())

    spend_all(budgets.get(make_call(), "claude"))

    assert not budgets.get(make_call(), "claude").allows_retry
    assert budgets.get(make_call(), "openai").allows_retry


def test_each_caller_key_has_its_own_budget() -> None:
    budgets = RetryBudgets(RetrySettings(), FakeClock())
    first, second = (make_call(caller=Caller("x", provider_keys={"claude": key})) for key in ("sk-first", "sk-second"))

    spend_all(budgets.get(first, "claude"))

    assert not budgets.get(first, "claude").allows_retry
    assert budgets.get(second, "claude").allows_retry
    assert budgets.get(make_call(), "claude").allows_retry
