import pytest

from aimanager_server.core.errors import RateLimited
from aimanager_server.resilience import rate_limiter as limiter_module
from aimanager_server.resilience.rate_limiter import Limiter
from tests.support.calls import FakeClock


def test_exactly_the_quota_passes_in_any_minute() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    passed: list[float] = []

    for _ in range(3000):
        clock.advance(0.1)
        try:
            limiter.take("ann", "requests", 60)
        except RateLimited:
            continue
        passed.append(clock.time)

    for start in passed:
        assert sum(start <= when < start + 60 for when in passed) <= 60
    assert len(passed) == 300


def test_a_refusal_says_when_to_come_back() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    limiter.take("ann", "requests", 1)
    clock.advance(20)

    with pytest.raises(RateLimited, match=r"^Rate limit exceeded. Retry after 40 seconds.$") as refused:
        limiter.take("ann", "requests", 1)

    assert refused.value.retry_after == pytest.approx(40)
    assert refused.value.metadata == {"subject": "ann", "quota": "requests", "limit": "1"}


def test_the_advice_is_true() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    for _ in range(3):
        limiter.take("ann", "tokens", 100, 30)
        clock.advance(5)
    with pytest.raises(RateLimited) as refused:
        limiter.take("ann", "tokens", 100, 60)
    assert refused.value.retry_after is not None

    clock.advance(refused.value.retry_after)

    limiter.take("ann", "tokens", 100, 60)


def test_one_caller_does_not_use_up_anothers_quota() -> None:
    limiter = Limiter(FakeClock())
    limiter.take("ann", "requests", 1)

    limiter.take("bob", "requests", 1)

    with pytest.raises(RateLimited):
        limiter.take("bob", "requests", 1)


def test_an_amount_above_the_quota_passes_once_a_minute() -> None:
    limiter = Limiter(FakeClock())

    limiter.take("ann", "tokens", 100, 5000)

    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_settling_gives_back_what_was_not_used() -> None:
    limiter = Limiter(FakeClock())
    taken_at = limiter.take("ann", "tokens", 100, 90)

    limiter.settle("ann", "tokens", -80, taken_at)

    limiter.take("ann", "tokens", 100, 90)
    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_advice_for_more_than_the_window_holds_is_a_whole_window() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    taken_at = limiter.take("ann", "tokens", 10, 10)
    limiter.settle("ann", "tokens", -0.5, taken_at)
    clock.advance(1)
    limiter.settle("ann", "tokens", 0.4, taken_at)

    with pytest.raises(RateLimited) as refused:
        limiter.take("ann", "tokens", 10, 10)

    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60


def test_memory_is_bounded_by_subjects(request: pytest.FixtureRequest) -> None:
    limiter = Limiter(FakeClock())

    for number in range(limiter_module.MOST_SUBJECTS + 1):
        limiter.take(str(number), "requests", 1)

    limiter.take("0", "requests", 1)
    with pytest.raises(RateLimited):
        limiter.take(str(limiter_module.MOST_SUBJECTS), "requests", 1)


def test_what_has_left_the_window_cannot_be_given_back() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    taken_at = limiter.take("ann", "tokens", 100, 100)
    clock.advance(61)

    limiter.settle("ann", "tokens", -100, taken_at)

    limiter.take("ann", "tokens", 100, 100)
    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_what_is_given_back_leaves_the_window_with_what_it_was_taken_from() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    taken_at = limiter.take("ann", "tokens", 100, 100)
    clock.advance(30)
    limiter.settle("ann", "tokens", -100, taken_at)
    limiter.take("ann", "tokens", 100, 100)
    clock.advance(31)

    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)
