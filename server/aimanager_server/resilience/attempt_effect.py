"""Determine the effect of a failed attempt on the health of its provider."""

from __future__ import annotations

from typing import Any

from ..core.attempts import AttemptEffect
from ..core.errors import (
    DeadlineExceeded,
    FirstTokenTimeout,
    GatewayError,
    ProviderRateLimited,
    ProviderTimeout,
    StreamInterrupted,
)
from ..core.request import CALLER_KEY_ID, Attempt


def effect_of(error: GatewayError, attempt: Attempt[Any]) -> AttemptEffect:
    """Return the effect of an error. Rejections and rate limits of a caller's own key have none.

    Neither do errors caused by the caller, including a timeout that the caller chose, and faults injected on request.
    """
    if not attempt.record.affects_health:
        return "none"
    cause = root_cause(error)
    uses_caller_key = attempt.api_key.id == CALLER_KEY_ID
    if isinstance(cause, ProviderRateLimited):
        return "none" if uses_caller_key else "rate_limited"
    effect = cause.spec.breaker_effect
    if effect == "ignore" or _is_callers_timeout(error, attempt):
        return "none"
    if effect == "count":
        return "failure"
    if uses_caller_key:
        return "none"
    return "credentials" if effect == "open" else "model_denied"


def root_cause(error: GatewayError) -> GatewayError:
    """Return the cause of an interrupted stream if it is known, and the call's deadline if that is the cause."""
    cause = error.__cause__
    if not isinstance(cause, GatewayError):
        return error
    return cause if isinstance(error, StreamInterrupted) or isinstance(cause, DeadlineExceeded) else error


def _is_callers_timeout(error: GatewayError, attempt: Attempt[Any]) -> bool:
    is_timeout = isinstance(error, FirstTokenTimeout) or isinstance(error.__cause__, ProviderTimeout)
    return is_timeout and attempt.target.timeouts.set_by_caller
