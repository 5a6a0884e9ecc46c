"""Decisions after an error: retry, fall back or fail."""

from __future__ import annotations

import math

import pytest

from aimanager_server.config.resilience import RetrySettings
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError, all_errors
from aimanager_server.core.request import Target
from aimanager_server.resilience.retry_policy import (
    KEY_SCOPED_ERRORS,
    Decision,
    Fail,
    Fallback,
    NextKey,
    Repair,
    Retry,
    RetryState,
    decide,
    eligible_fallbacks,
    least_severe,
)

SMALL = Target("mock", "small", context_window=8_000)
LARGE = Target("mock", "large", context_window=200_000)
UNKNOWN = Target("mock", "unknown")


def retry_state(
    attempts: int = 1,
    fallbacks: int = 0,
    remaining_seconds: float = 1000.0,
    *,
    within_budget: bool = True,
    interruptions: int = 0,
    elapsed_seconds: float = 0.0,
    other_keys: bool = False,
    is_repairable: bool = False,
    was_sent: bool = True,
) -> RetryState:
    return RetryState(
        attempts, fallbacks, remaining_seconds, within_budget, interruptions, elapsed_seconds, other_keys,
        is_repairable, was_sent,
    )  # fmt: skip


def decision(
    error: type[GatewayError], state: RetryState, jitter: float = 1.0, retry_after: float | None = None
) -> Decision:
    return decide(error("failed", retry_after=retry_after), state, RetrySettings(), jitter)


def interrupted_by(cause: GatewayError) -> GatewayError:
    error = errors.StreamInterrupted("cut")
    error.__cause__ = cause
    return error


def decision_after_interruption(state: RetryState) -> Decision:
    return decide(interrupted_by(errors.ProviderUnreachable("reset")), state, RetrySettings(), 1.0)


@pytest.mark.parametrize(
    ("retry_after", "jitter", "expected"),
    [
        (None, 1.0, Retry(0.25)),
        (None, 0.0, Retry(0.0)),
        (2.0, 0.0, Retry(2.0)),
        (2.0, 1.0, Retry(2.25)),
        (0.0, 0.0, Retry(0.0)),
        (120.0, 0.0, Retry(120.0)),
        (120.1, 0.0, Fail()),
        (math.inf, 0.0, Fail()),
    ],
)
def test_retry_after_is_never_shortened_and_jitter_is_added(
    retry_after: float | None, jitter: float, expected: Decision
) -> None:
    assert decision(errors.ProviderRateLimited, retry_state(), jitter, retry_after) == expected


def test_backoff_doubles_with_each_attempt() -> None:
    decisions = [decision(errors.ProviderInternalError, retry_state(attempts)) for attempts in (1, 2, 3)]

    assert decisions == [Retry(0.25), Retry(0.5), Fail()]


def test_fallback_is_preferred_after_a_slow_failure() -> None:
    assert decision(errors.ProviderUnreachable, retry_state(fallbacks=1, elapsed_seconds=2.0)) == Fallback()
    assert decision(errors.ProviderUnreachable, retry_state(elapsed_seconds=2.0)) == Retry(0.25)


def test_fallback_is_preferred_to_waiting_for_retry_after() -> None:
    assert decision(errors.ProviderRateLimited, retry_state(fallbacks=1), retry_after=2.0) == Fallback()
    assert decision(errors.ProviderRateLimited, retry_state(fallbacks=1)) == Retry(0.25)


@pytest.mark.parametrize(("retry_after", "expected"), [(3.0, Retry(3.25)), (3.1, Fallback()), (None, Fallback())])
def test_a_short_wait_at_the_same_target_is_preferred_to_a_fallback_if_configured(
    retry_after: float | None, expected: Decision
) -> None:
    settings, state = RetrySettings(prefer_same_target_seconds=3.0), retry_state(fallbacks=1, elapsed_seconds=2.0)

    assert decide(errors.ProviderRateLimited("busy", retry_after=retry_after), state, settings, 1.0) == expected


def test_a_preferred_wait_ends_before_the_deadline_and_after_max_attempts() -> None:
    settings, busy = RetrySettings(prefer_same_target_seconds=3.0), errors.ProviderOverloaded("busy", retry_after=2.0)

    late = decide(busy, retry_state(fallbacks=1, remaining_seconds=2.0), settings, 0.0)
    last = decide(busy, retry_state(attempts=3, fallbacks=1), settings, 0.0)

    assert (late, last) == (Fallback(), Fallback())


@pytest.mark.parametrize(("remaining", "expected"), [(2.0, Fail()), (2.04, Fail()), (2.06, Retry(2.0))])
def test_retry_that_cannot_finish_before_the_deadline_is_not_made(remaining: float, expected: Decision) -> None:
    state = retry_state(remaining_seconds=remaining)

    assert decision(errors.ProviderRateLimited, state, 0.0, retry_after=2.0) == expected


def test_expired_deadline_allows_no_fallback() -> None:
    assert decision(errors.ProviderCredentialsInvalid, retry_state(fallbacks=1, remaining_seconds=0.0)) == Fail()


def test_exhausted_budget_allows_a_fallback_but_no_retry() -> None:
    assert decision(errors.ProviderInternalError, retry_state(fallbacks=1, within_budget=False)) == Fallback()
    assert decision(errors.ProviderInternalError, retry_state(within_budget=False)) == Fail()


def test_first_token_timeout_is_not_retried() -> None:
    assert decision(errors.FirstTokenTimeout, retry_state()) == Fail()
    assert decision(errors.FirstTokenTimeout, retry_state(fallbacks=1)) == Fallback()


@pytest.mark.parametrize(
    "error", [errors.ProviderCredentialsInvalid, errors.ProviderQuotaExhausted, errors.CircuitOpen]
)
def test_next_key_replaces_a_rejected_or_blocked_key_for_free(error: type[GatewayError]) -> None:
    exhausted = retry_state(attempts=8, fallbacks=1, within_budget=False, other_keys=True)

    assert decision(error, exhausted) == NextKey()
    assert decision(error, retry_state(attempts=8, fallbacks=1)) == Fallback()


def test_next_key_after_a_rate_limit_is_a_retry_only_if_a_request_was_sent() -> None:
    limited = errors.ProviderRateLimited

    assert decision(limited, retry_state(other_keys=True)) == NextKey(is_retry=True)
    assert decision(limited, retry_state(attempts=3, fallbacks=1, other_keys=True)) == Fallback()
    assert decision(limited, retry_state(other_keys=True, within_budget=False)) == Fail()
    assert decision(limited, retry_state(attempts=3, other_keys=True, was_sent=False)) == NextKey()


def test_next_key_is_preferred_to_waiting_and_to_a_fallback() -> None:
    state = retry_state(fallbacks=1, elapsed_seconds=5.0, other_keys=True)

    assert decision(errors.ProviderRateLimited, state, retry_after=600.0) == NextKey(is_retry=True)


def test_error_that_concerns_no_key_is_not_sent_with_another() -> None:
    offenders = [
        kind.__name__
        for kind in all_errors()
        if kind not in KEY_SCOPED_ERRORS and isinstance(decision(kind, retry_state(other_keys=True)), NextKey)
    ]

    assert offenders == []


def test_invalid_answer_is_repaired_even_beyond_attempts_and_budget() -> None:
    state = retry_state(attempts=3, fallbacks=1, within_budget=False, is_repairable=True)

    assert decision(errors.OutputSchemaMismatch, state) == Repair()


def test_invalid_answer_that_cannot_be_repaired_fails() -> None:
    assert decision(errors.OutputSchemaMismatch, retry_state(fallbacks=1)) == Fail()


def test_expired_deadline_allows_neither_another_key_nor_a_repair() -> None:
    late = retry_state(remaining_seconds=0.05, other_keys=True, is_repairable=True)

    assert decision(errors.ProviderCredentialsInvalid, late) == Fail()
    assert decision(errors.OutputSchemaMismatch, late) == Fail()


def test_error_of_the_key_that_works_again_first_is_least_severe() -> None:
    limited, rejected = errors.ProviderRateLimited("busy", retry_after=90.0), errors.ProviderQuotaExhausted("spent")
    sooner, later = errors.CircuitOpen("open", retry_after=2.0), errors.CircuitOpen("open", retry_after=9.0)
    also_rejected = errors.ProviderCredentialsInvalid("no")

    assert least_severe([later, sooner]) is sooner
    assert least_severe([later, rejected, sooner]) is rejected
    assert least_severe([rejected, also_rejected]) is rejected
    assert least_severe([rejected, later, limited]) is limited


def test_interrupted_stream_restarts_at_the_next_target_or_once_at_the_same() -> None:
    assert decision_after_interruption(retry_state(fallbacks=1, interruptions=1)) == Fallback()
    assert decision_after_interruption(retry_state(attempts=2, interruptions=1)) == Retry(0.0)
    assert decision_after_interruption(retry_state(attempts=2, interruptions=2)) == Fail()


def test_interrupted_stream_does_not_restart_beyond_max_attempts_or_budget() -> None:
    assert decision_after_interruption(retry_state(attempts=3, interruptions=1)) == Fail()
    assert decision_after_interruption(retry_state(interruptions=1, within_budget=False)) == Fail()


@pytest.mark.parametrize("cause", [errors.ContentBlocked("no"), errors.DeadlineExceeded("late")])
def test_stream_interrupted_by_a_policy_or_the_deadline_does_not_restart(cause: GatewayError) -> None:
    error = interrupted_by(cause)

    assert eligible_fallbacks(error, SMALL, [LARGE]) == ()
    assert decide(error, retry_state(), RetrySettings(), 1.0) == Fail()


def test_exceeded_context_window_falls_back_only_to_a_known_larger_one() -> None:
    too_long = errors.ContextTooLong("too long")

    assert eligible_fallbacks(too_long, SMALL, [UNKNOWN, SMALL, LARGE]) == (LARGE,)
    assert eligible_fallbacks(too_long, LARGE, [SMALL, UNKNOWN]) == ()
    assert eligible_fallbacks(too_long, UNKNOWN, [LARGE]) == ()


def test_every_error_is_retried_and_falls_back_as_its_spec_states() -> None:
    fallbacks = {"next": (SMALL, LARGE), "larger": (LARGE,), "never": ()}

    offenders = [
        kind.__name__
        for kind in all_errors()
        if kind is not errors.StreamInterrupted
        and (
            isinstance(decision(kind, retry_state()), Retry) != kind.spec.retryable
            or eligible_fallbacks(kind("failed"), SMALL, [SMALL, LARGE]) != fallbacks[kind.spec.fallback]
        )
    ]

    assert offenders == []
