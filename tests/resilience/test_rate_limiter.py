"""Per-minute quotas in a sliding window."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import RateLimited
from aimanager_server.resilience.rate_limiter import MAX_WINDOWS, RateLimiter
from tests.support.clock import FakeClock


def test_no_minute_exceeds_the_quota() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock)
    admitted: list[float] = []

    for _ in range(3000):
        clock.advance(0.1)
        try:
            limiter.take("ann", "requests", 60)
        except RateLimited:
            continue
        admitted.append(clock.time)

    for start in admitted:
        assert sum(start <= when < start + 60 for when in admitted) <= 60
    assert len(admitted) == 300


def test_rejection_states_the_quota_and_the_wait() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock)
    limiter.take("ann", "requests_per_minute", 1)
    clock.advance(20)

    with pytest.raises(RateLimited) as rejected:
        limiter.take("ann", "requests_per_minute", 1)

    assert rejected.value.message == "Rate limit exceeded. Retry after 40 seconds. Quota: requests_per_minute = 1."
    assert rejected.value.retry_after == pytest.approx(40)
    assert rejected.value.metadata == {"subject": "ann", "quota": "requests_per_minute", "limit": "1"}


def test_amount_fits_after_the_stated_wait() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock)
    for _ in range(3):
        limiter.take("ann", "tokens", 100, 30)
        clock.advance(5)
    with pytest.raises(RateLimited) as rejected:
        limiter.take("ann", "tokens", 100, 60)
    assert rejected.value.retry_after is not None

    clock.advance(rejected.value.retry_after)

    limiter.take("ann", "tokens", 100, 60)


def test_subjects_have_separate_quotas() -> None:
    limiter = RateLimiter(FakeClock())
    limiter.take("ann", "requests", 1)

    limiter.take("bob", "requests", 1)

    with pytest.raises(RateLimited):
        limiter.take("bob", "requests", 1)


def test_amount_above_the_quota_is_admitted_once_a_minute() -> None:
    limiter = RateLimiter(FakeClock())

    limiter.take("ann", "tokens", 100, 5000)

    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_refund_frees_what_was_not_used() -> None:
    limiter = RateLimiter(FakeClock())
    taken_at = limiter.take("ann", "tokens", 100, 90)

    limiter.adjust("ann", "tokens", -80, taken_at)

    limiter.take("ann", "tokens", 100, 90)
    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_refund_leaves_the_window_with_its_take() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock)
    taken_at = limiter.take("ann", "tokens", 100, 100)
    clock.advance(30)
    limiter.adjust("ann", "tokens", -100, taken_at)
    limiter.take("ann", "tokens", 100, 100)
    clock.advance(31)

    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_refund_of_an_expired_take_has_no_effect() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock)
    taken_at = limiter.take("ann", "tokens", 100, 100)
    clock.advance(61)

    limiter.adjust("ann", "tokens", -100, taken_at)

    limiter.take("ann", "tokens", 100, 100)
    with pytest.raises(RateLimited):
        limiter.take("ann", "tokens", 100, 1)


def test_wait_never_exceeds_the_window() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock)
    taken_at = limiter.take("ann", "tokens", 10, 10)
    limiter.adjust("ann", "tokens", -0.5, taken_at)
    clock.advance(1)
    limiter.adjust("ann", "tokens", 0.4, taken_at)

    with pytest.raises(RateLimited) as rejected:
        limiter.take("ann", "tokens", 10, 10)

    assert rejected.value.retry_after is not None
    assert 0 < rejected.value.retry_after <= 60


def test_least_recently_used_window_is_dropped_first() -> None:
    limiter = RateLimiter(FakeClock())

    for number in range(MAX_WINDOWS + 1):
        limiter.take(str(number), "requests", 1)

    limiter.take("0", "requests", 1)
    with pytest.raises(RateLimited):
        limiter.take(str(MAX_WINDOWS), "requests", 1)
