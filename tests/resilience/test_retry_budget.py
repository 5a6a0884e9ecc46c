from aimanager_server.core.request import Caller
from aimanager_server.resilience.retry_budget import Budget, Budgets
from tests.support.calls import FakeClock, call


def spent(budget: Budget) -> int:
    """How many retries it pays for now."""
    count = 0
    while budget.affordable:
        budget.spend()
        count += 1
    return count


def test_a_new_budget_pays_for_its_reserve() -> None:
    assert spent(Budget(0.1, 10, FakeClock())) == 10


def test_ten_calls_pay_for_one_retry() -> None:
    budget = Budget(0.1, 0, FakeClock())

    for _ in range(101):
        budget.earn()

    assert spent(budget) == 10


def test_the_reserve_comes_back_by_one_a_second_and_grows_no_further() -> None:
    clock = FakeClock()
    budget = Budget(0.1, 10, clock)
    spent(budget)

    clock.advance(3)
    after_three = spent(budget)
    clock.advance(3600)
    after_an_hour = spent(budget)

    assert (after_three, after_an_hour) == (3, 10)


def test_a_storm_of_failures_gets_a_tenth_of_its_calls_and_the_reserve() -> None:
    budget, retries = Budget(0.1, 10, FakeClock()), 0

    for _ in range(1000):
        budget.earn()
        retries += spent(budget)

    assert 109 <= retries <= 110


def test_each_provider_has_its_own() -> None:
    budgets = Budgets(0.1, 1, FakeClock())

    spent(budgets.of(call(), "claude"))

    assert not budgets.of(call(), "claude").affordable
    assert budgets.of(call(), "openai").affordable


def test_a_key_of_the_callers_own_has_its_own() -> None:
    budgets = Budgets(0.1, 1, FakeClock())
    mine, yours = (call(caller=Caller("x", provider_keys={"claude": key})) for key in ("sk-mine", "sk-yours"))

    spent(budgets.of(mine, "claude"))

    assert not budgets.of(mine, "claude").affordable
    assert budgets.of(yours, "claude").affordable
    assert budgets.of(call(), "claude").affordable
