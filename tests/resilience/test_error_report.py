"""The error of a call whose attempts all failed: the first, without expired advice, and the last if it differs."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aimanager_server.core.errors import GatewayError, ProviderInternalError, ProviderRateLimited
from aimanager_server.resilience.error_report import FirstError
from tests.support.clock import FakeClock

LIMITED = "Slow down. Retry in 60 s."


def limited(**fields: Any) -> ProviderRateLimited:
    return ProviderRateLimited(LIMITED, **{"provider": "first", "model": "m", "retry_after": 60.0, **fields})


def broken(**fields: Any) -> ProviderInternalError:
    return ProviderInternalError("Oh.", provider="first", model="m", **fields)


def reported(first: GatewayError, last: GatewayError, elapsed: float) -> GatewayError:
    clock = FakeClock()
    errors = FirstError(clock)
    errors.add(first)
    errors.add(ProviderInternalError("between"))
    clock.advance(elapsed)
    return errors.report(last)


def test_the_only_error_is_reported_unchanged() -> None:
    error = limited()

    assert reported(error, error, 0.0) is error
    assert FirstError(FakeClock()).report(error) is error


def test_the_last_error_of_another_kind_is_named_beside_the_first() -> None:
    error = reported(limited(), broken(), 10.0)

    assert (type(error), error.retry_after) == (ProviderRateLimited, 50.0)
    assert error.message == f"{LIMITED} The last attempt failed with PROVIDER_ERROR from first/m: Oh."


def test_expired_advice_is_neither_in_the_details_nor_in_the_words() -> None:
    error = reported(limited(), broken(), 60.0)

    assert (type(error), error.retry_after, error.solution) == (ProviderRateLimited, None, broken().solution)
    assert "60 s" not in error.message
    assert error.message == (
        "PROVIDER_RATE_LIMITED from first/m, whose advised wait has passed; then PROVIDER_ERROR from first/m: Oh."
    )


def test_newer_advice_of_the_same_target_replaces_expired_advice() -> None:
    last = limited(retry_after=30.0)

    assert reported(limited(), last, 61.0) is last


def test_the_same_kind_of_error_elsewhere_does_not_change_the_message() -> None:
    error = reported(limited(), limited(provider="second", retry_after=5.0), 10.0)

    assert (error.message, error.provider, error.retry_after) == (LIMITED, "first", 50.0)
    assert "second/m" in reported(limited(), limited(provider="second"), 61.0).message


def test_advice_never_to_retry_does_not_expire() -> None:
    assert reported(limited(retry_after=math.inf), broken(), 1e6).retry_after == math.inf


@pytest.mark.parametrize("elapsed", [1.0, 61.0])
def test_long_messages_are_shortened_so_that_both_fit(elapsed: float) -> None:
    first, last = limited(), ProviderInternalError("x" * 5000)

    assert len(reported(first, last, elapsed).message) < 900
