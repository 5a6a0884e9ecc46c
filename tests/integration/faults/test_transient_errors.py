"""Faults that can pass: who is asked again, when, and how often."""

from __future__ import annotations

import pytest

from tests.integration.faults.fault_catalog import errs, refuses, says
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT

DATE = "Date: Sun, 22 Nov 2026 10:00:00 GMT"
PROMPT_SECONDS = 1.5


def gap(upstream: Upstream) -> float:
    """Seconds between the first two requests."""
    return upstream.requests[1].at - upstream.requests[0].at


@scenario(1)
def test_advice_to_wait_is_obeyed_where_nobody_else_can_answer() -> None:
    first = Upstream(refuses(429, "Slow down.", "Retry-After: 2"), says())

    with gateway(first) as server:
        response = server.answer()

    assert text_of(response) == TEXT
    assert gap(first) >= 2
    assert attempts_of(response.route) == [("first", "PROVIDER_RATE_LIMITED"), ("first", "")]


@scenario(1)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_advice_to_wait_is_not_waited_for_where_another_can_answer(wire: str) -> None:
    first, second = Upstream(refuses(429, "Slow down.", "Retry-After: 2"), wire=wire), Upstream(says())

    with gateway(first, second) as server:
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route) == [("first", "PROVIDER_RATE_LIMITED"), ("second", "")]
    assert second.requests[0].at - first.requests[0].at < 2
    assert len(first.requests) == 1


@scenario(2)
def test_a_rate_limit_that_stays_is_met_three_times_at_most() -> None:
    first = Upstream(refuses(429))

    with gateway(first, retry={"base_seconds": 0.25}) as server:
        failure = server.refused()

    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED")
    assert failure.attempts == [("first", "PROVIDER_RATE_LIMITED")] * 3
    assert len(first.requests) == 3
    assert failure.seconds <= 2.5


@scenario(2)
def test_a_spend_cap_of_claude_is_met_once() -> None:
    first = Upstream(refuses(429), wire="claude")

    with gateway(first) as server:
        failure = server.refused()

    assert failure.reason == "PROVIDER_QUOTA_EXHAUSTED"
    assert len(first.requests) == 1


@scenario(3)
@pytest.mark.parametrize(
    ("advice", "least"),
    [
        (("Retry-After: 0",), 0.0),
        (("Retry-After: 0.4",), 0.4),
        (("Retry-After: -3",), 0.0),
        (("Retry-After: soon",), 0.0),
        (("Retry-After: 0.1", "Retry-After: 0.4"), 0.1),
        (("retry-after-ms: 400",), 0.4),
        (("x-ms-retry-after-ms: 400",), 0.4),
        (("retry-after-ms: 400", "Retry-After: 30"), 0.4),
        (("x-should-retry: true",), 0.0),
        ((DATE, "Retry-After: Sun, 22 Nov 2026 10:00:01 GMT"), 1.0),
        (("Retry-After: Sun, 22 Nov 2015 10:00:00 GMT",), 0.0),
    ],
)
def test_every_form_of_advice_is_read(advice: tuple[str, ...], least: float) -> None:
    first = Upstream(refuses(429, "Slow down.", *advice), says())

    with gateway(first) as server:
        response = server.answer()

    assert text_of(response) == TEXT
    assert least <= gap(first) < least + PROMPT_SECONDS


@scenario(3)
@pytest.mark.parametrize(
    "advice", ["Retry-After: 999999", "x-should-retry: false", "Retry-After: 121", "Retry-After: 1e300"]
)
def test_advice_not_to_come_back_soon_is_taken(advice: str) -> None:
    first = Upstream(refuses(503, "Closed.", advice))

    with gateway(first) as server:
        failure = server.refused()

    assert failure.reason == "PROVIDER_OVERLOADED"
    assert len(first.requests) == 1


@scenario(4)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_server_that_failed_once_is_asked_again(status: int, wire: str) -> None:
    first = Upstream(refuses(status), says(), wire=wire)

    with gateway(first, retry={"base_seconds": 0.25}) as server:
        response = server.answer()

    assert text_of(response) == TEXT
    assert len(first.requests) == 2
    assert gap(first) < PROMPT_SECONDS


@scenario(5)
@pytest.mark.parametrize("overloaded", [refuses(529, kind="overloaded_error"), errs("overloaded_error")])
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_overload_fails_over_whichever_way_it_is_told(overloaded: object, wire: str, is_streamed: bool) -> None:
    first, second = Upstream(overloaded, wire=wire), Upstream(says())  # type: ignore[arg-type]

    with gateway(first, second) as server:
        if is_streamed:
            response = server.stream(fallback_models=NEXT)[-1].completed
        else:
            response = server.answer(fallback_models=NEXT)

    assert text_of(response) == TEXT
    assert attempts_of(response.route)[0] == ("first", "PROVIDER_OVERLOADED")
    assert attempts_of(response.route)[-1] == ("second", "")
    assert len(first.requests) <= 3


@scenario(28)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_advice_to_wait_beyond_the_deadline_ends_the_call_at_once(is_streamed: bool) -> None:
    first = Upstream(refuses(429, "Slow down.", "Retry-After: 5"))

    with gateway(first) as server:
        failure = (server.interrupted if is_streamed else server.refused)(seconds=2.0)

    assert failure.seconds < 1.5
    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED")
    assert failure.attempts == [("first", "PROVIDER_RATE_LIMITED")]
    assert failure.advice == 5.0
