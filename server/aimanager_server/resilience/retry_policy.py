"""Decides after an error what follows: another key, a repair, a retry, a fallback or failure. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config.resilience import RetrySettings
from ..core.errors import (
    CircuitOpen,
    GatewayError,
    OutputSchemaMismatch,
    ProviderCredentialsInvalid,
    ProviderModelDenied,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    StreamInterrupted,
)
from ..core.provider_state import ProviderStateRejected
from ..core.request import Target

KEY_SCOPED_ERRORS = (
    ProviderCredentialsInvalid, ProviderModelDenied, ProviderQuotaExhausted, ProviderRateLimited, CircuitOpen,
)  # fmt: skip
"""Errors of one key; a request with another key may succeed."""

REJECTED_KEY_ERRORS = (ProviderCredentialsInvalid, ProviderQuotaExhausted)
"""Errors after which a key is quarantined."""

MIN_ATTEMPT_SECONDS = 0.05
"""With less time left no provider can respond."""

SLOW_FAILURE_SECONDS = 1.0
"""A failure that took longer, such as a connect timeout, is not worth repeating if a fallback remains."""

MAX_RESTARTS = 1
"""Restarts of a stream at the same target after an interruption, if no fallback remains."""


@dataclass(frozen=True, slots=True)
class RetryState:
    """State of a call after an error.

    `attempts` and `interruptions` count those at the current target, `fallbacks` the remaining targets. `other_keys`:
    the provider has keys that were not tried since the last retry. `is_repairable`: the answer was received and may be
    corrected. `carries_state`: the request has state of the provider, which it may reject. `was_sent`: a request was
    sent, so another one costs the provider something. `remaining_seconds` is the time to the deadline,
    `elapsed_seconds` the duration of the failed attempt. `within_budget`: the retry budget allows one more retry.
    """

    attempts: int
    fallbacks: int
    remaining_seconds: float
    within_budget: bool = True
    interruptions: int = 0
    elapsed_seconds: float = 0.0
    other_keys: bool = False
    is_repairable: bool = False
    was_sent: bool = True
    carries_state: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry the same target after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class NextKey:
    """Try the same target at once with the next key. `is_retry`: it counts against the retry budget."""

    is_retry: bool = False


@dataclass(frozen=True, slots=True)
class Repair:
    """Ask the same target to correct its answer."""


@dataclass(frozen=True, slots=True)
class OmitState:
    """Ask the same target and key at once, without the state of earlier turns."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """Fall back to the next target."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Raise the first error."""


Decision = Retry | NextKey | Repair | OmitState | Fallback | Fail


def decide(error: GatewayError, state: RetryState, settings: RetrySettings, jitter: float) -> Decision:
    """Return what to do after an error of which the caller has seen nothing. `jitter` is random, from 0 to 1.

    A key that was rejected, or whose circuit breaker is open, is replaced for free; after a rate limit the next key
    counts as a retry, since the limit may apply to the whole account. A fallback needs no delay, so it is preferred if
    the provider requested a wait longer than `prefer_same_target_seconds`, or if the failure was slow and is likely to
    be slow again. A retry is never delayed beyond the deadline.
    """
    if state.remaining_seconds <= MIN_ATTEMPT_SECONDS:
        return Fail()
    if isinstance(error, StreamInterrupted):
        return _decide_after_interruption(error, state, settings)
    if isinstance(error, OutputSchemaMismatch):
        return Repair() if state.is_repairable else Fail()
    if isinstance(error, ProviderStateRejected) and state.carries_state:
        return OmitState()
    may_send_again = state.attempts < settings.max_attempts and state.within_budget
    if state.other_keys and isinstance(error, KEY_SCOPED_ERRORS):
        is_free = not (isinstance(error, ProviderRateLimited) and state.was_sent)
        if is_free or may_send_again:
            return NextKey(is_retry=not is_free)
    is_retry_allowed = error.spec.retryable and may_send_again
    if is_retry_allowed and not (state.fallbacks and _is_slow(error.retry_after, state, settings)):
        delay = _delay(error.retry_after, state.attempts, settings, jitter)
        is_wait_acceptable = (error.retry_after or 0.0) <= settings.max_retry_after_seconds
        if is_wait_acceptable and delay + MIN_ATTEMPT_SECONDS <= state.remaining_seconds:
            return Retry(delay)
    return Fallback() if state.fallbacks else Fail()


def eligible_fallbacks(error: GatewayError, target: Target, others: Sequence[Target]) -> tuple[Target, ...]:
    """Return the remaining targets that may be tried after `target` failed with this error (`ErrorSpec.fallback`).

    A prompt that exceeds the context window falls back only to targets with a known larger window. A stream that was
    interrupted by an error without a fallback, such as a blocked response, has none either.
    """
    fallback = _root_cause(error).spec.fallback
    if fallback == "next":
        return tuple(others)
    if fallback == "larger":
        return tuple(other for other in others if (other.context_window or 0) > (target.context_window or 0) > 0)
    return ()


def least_severe(errors: Sequence[GatewayError]) -> GatewayError:
    """Return the error of the key that will work again first: a rate limit, a rejected key, an open breaker."""
    return min(
        errors, key=lambda error: (not error.spec.retryable, isinstance(error, CircuitOpen), error.retry_after or 0.0)
    )


def _is_slow(retry_after: float | None, state: RetryState, settings: RetrySettings) -> bool:
    """Return whether a retry would take so long that a fallback is preferred."""
    if retry_after:
        return retry_after > settings.prefer_same_target_seconds
    return state.elapsed_seconds >= SLOW_FAILURE_SECONDS


def _delay(retry_after: float | None, attempts: int, settings: RetrySettings, jitter: float) -> float:
    if retry_after is None:
        return settings.initial_backoff_seconds * 2.0 ** (attempts - 1) * jitter
    # Jitter on top of Retry-After: callers that received the same value must not return at the same moment.
    return retry_after + settings.initial_backoff_seconds * jitter


def _decide_after_interruption(error: GatewayError, state: RetryState, settings: RetrySettings) -> Decision:
    if state.fallbacks:
        return Fallback()
    is_restartable = _root_cause(error).spec.fallback == "next" and state.interruptions <= MAX_RESTARTS
    is_retry_allowed = state.attempts < settings.max_attempts and state.within_budget
    return Retry(0.0) if is_restartable and is_retry_allowed else Fail()


def _root_cause(error: GatewayError) -> GatewayError:
    """Return the error that interrupted a stream, if known; return any other error unchanged."""
    cause = error.__cause__
    return cause if isinstance(error, StreamInterrupted) and isinstance(cause, GatewayError) else error
