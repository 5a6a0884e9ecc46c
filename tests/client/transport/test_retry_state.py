"""RetryState: deadline, rate limits and unavailable gateways."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager._convert.operation import Operation
from aimanager._transport.endpoint import Endpoint
from aimanager._transport.retry import RetryState, retry_call
from aimanager.errors import AIError, RateLimitError
from aimanager.types.usage import Attempt

RATE_LIMIT = RateLimitError("", "Rate limit exceeded.", retry_after=3)
UNAVAILABLE = AIError("Connection refused.", reason="UNAVAILABLE")


def test_deadline_starts_at_the_first_look_and_ends_at_zero() -> None:
    now = [100.0]
    state = RetryState(10, clock=lambda: now[0])

    now[0] = 200.0
    first = state.remaining
    now[0] = 300.0

    assert (first, state.remaining) == (10.0, 0.0)


def test_no_timeout_is_no_deadline() -> None:
    assert RetryState(None).remaining is None


def test_rate_limit_is_retried_once() -> None:
    state = RetryState(10, rate_limit_retries=1, clock=lambda: 0.0)

    delay = state.delay_before_retry(RATE_LIMIT)

    assert delay == 3
    with pytest.raises(RateLimitError):
        state.delay_before_retry(RATE_LIMIT)


@pytest.mark.parametrize(
    "error",
    [
        RateLimitError("mock", "Provider limit.", reason="PROVIDER_RATE_LIMITED", retry_after=3),
        RateLimitError("", "No advice."),
        RateLimitError("", "Beyond the deadline.", retry_after=10),
    ],
    ids=str,
)
def test_other_rate_limits_are_not_retried(error: RateLimitError) -> None:
    state = RetryState(10, rate_limit_retries=1, clock=lambda: 0.0)

    with pytest.raises(RateLimitError):
        state.delay_before_retry(error)


def test_wait_is_logged_and_listed(caplog: pytest.LogCaptureFixture) -> None:
    state = RetryState(10, rate_limit_retries=1, clock=lambda: 0.0)

    state.delay_before_retry(RATE_LIMIT)

    assert state.waited == (Attempt("", "", "RATE_LIMITED", duration=3),)
    assert [record.message for record in caplog.records] == ["RATE_LIMITED: Rate limit exceeded. Retrying in 3.0 s."]
    with pytest.raises(AIError) as raised:
        state.delay_before_retry(AIError("Internal error.", reason="INTERNAL_ERROR"))
    assert raised.value.attempts == state.waited


@pytest.mark.parametrize(("max_wait", "waits"), [(2.9, False), (3.0, True), (0.0, False)])
def test_rate_limit_is_waited_for_at_most_max_wait_seconds(max_wait: float, waits: bool) -> None:
    state = RetryState(1000, rate_limit_retries=1, max_wait=max_wait, clock=lambda: 0.0)

    if waits:
        assert state.delay_before_retry(RATE_LIMIT) == 3
    else:
        with pytest.raises(RateLimitError):
            state.delay_before_retry(RATE_LIMIT)


def test_unavailable_gateway_is_retried_with_exponential_backoff() -> None:
    state = RetryState(100, unavailable_retries=3, clock=lambda: 0.0)

    delays = [state.delay_before_retry(UNAVAILABLE) for _ in range(3)]

    for delay, backoff in zip(delays, (0.1, 0.2, 0.4), strict=True):
        assert 0.8 * backoff <= delay <= 1.2 * backoff
    with pytest.raises(AIError, match="Connection refused"):
        state.delay_before_retry(UNAVAILABLE)


def test_advice_of_an_overloaded_gateway_replaces_the_backoff() -> None:
    state = RetryState(100, unavailable_retries=1, clock=lambda: 0.0)

    assert state.delay_before_retry(AIError("Overloaded.", reason="OVERLOADED", retry_after=7)) == 7


def test_other_errors_are_not_retried() -> None:
    state = RetryState(100, rate_limit_retries=1, unavailable_retries=3, clock=lambda: 0.0)

    with pytest.raises(AIError, match="Internal"):
        state.delay_before_retry(AIError("Internal error.", reason="INTERNAL_ERROR"))


@pytest.mark.parametrize(
    ("retries_unavailable", "retries", "sends"),
    [(False, 3, 1), (True, 0, 1), (True, 2, 3)],
)
def test_operation_and_client_limit_the_retries(retries_unavailable: bool, retries: int, sends: int) -> None:
    operation: Operation[None, None, None] = Operation(
        "models.GetModel", None, 100, lambda response: None, retries_unavailable=retries_unavailable
    )
    calls: list[None] = []

    def send() -> Any:
        calls.append(None)
        raise AIError("Connection refused.", reason="UNAVAILABLE", retry_after=0.0)

    with pytest.raises(AIError):
        retry_call(RetryState.of(operation, Endpoint("localhost:1", retries=retries)), send)

    assert len(calls) == sends
