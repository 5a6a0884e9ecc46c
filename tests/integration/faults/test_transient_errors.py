"""Transient provider errors: what is retried, when, and how often."""

from __future__ import annotations

from itertools import product

import pytest

from tests.integration.faults.fault_catalog import fails, fails_in_band, responds
from tests.integration.faults.gateway import FALLBACK, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT

WIRES = ("chat_completions", "anthropic")
DATE = "Date: Sun, 22 Nov 2026 10:00:00 GMT"
TOLERANCE_SECONDS = 1.5
RETRY_ADVICE: tuple[tuple[tuple[str, ...], float], ...] = (
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
)
"""Headers of a 429, and the seconds to wait at least."""

ADVICE_AGAINST_RETRIES = ("Retry-After: 999999", "x-should-retry: false", "Retry-After: 121", "Retry-After: 1e300")


def retry_delay(upstream: Upstream) -> float:
    """Return the seconds between the first two requests."""
    return upstream.requests[1].received_at - upstream.requests[0].received_at


@scenario(1)
def test_retry_after_is_honored_if_no_fallback_is_left() -> None:
    first = Upstream(fails(429, "Slow down.", "Retry-After: 0.5"), responds())

    with gateway(first) as server:
        response = server.generate()

    assert text_of(response) == TEXT
    assert retry_delay(first) >= 0.5
    assert attempts_of(response.execution) == [("first", "PROVIDER_RATE_LIMITED"), ("first", "")]


@scenario(1)
@pytest.mark.parametrize("wire", WIRES)
def test_fallback_is_used_at_once_instead_of_waiting_for_retry_after(wire: str) -> None:
    first, second = Upstream(fails(429, "Slow down.", "Retry-After: 2"), wire=wire), Upstream(responds())

    with gateway(first, second) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution) == [("first", "PROVIDER_RATE_LIMITED"), ("second", "")]
    assert second.requests[0].received_at - first.requests[0].received_at < 2
    assert len(first.requests) == 1


@scenario(1)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_short_wait_at_the_same_target_is_preferred_to_a_fallback_if_configured(is_streamed: bool) -> None:
    limited = fails(429, "Slow down.", "Retry-After: 2")
    first, second = Upstream(limited, responds()), Upstream(responds())

    with gateway(first, second, retry={"prefer_same_target_seconds": 3}) as server:
        response = server.respond(is_streamed, fallback_models=FALLBACK)

    assert attempts_of(response.execution) == [("first", "PROVIDER_RATE_LIMITED"), ("first", "")]
    assert retry_delay(first) >= 2.0
    assert second.requests == []


@scenario(1)
def test_a_call_during_a_preferred_wait_waits_as_well() -> None:
    first, second = Upstream(fails(429, "Slow down.", "Retry-After: 1"), responds()), Upstream(responds())
    route = {"targets": ["first/m", "second/m"], "policy": "priority"}

    with gateway(first, second, retry={"prefer_same_target_seconds": 3}, routes={"chat": route}) as server:
        calls = [server.start_call("chat") for _ in range(2)]
        providers = [call.result().execution.provider for call in calls]
        first.set_script(fails(429, "Slow down.", "Retry-After: 4"))
        fallen_back = server.generate("chat")

    assert providers == ["first", "first"]
    assert fallen_back.execution.provider == "second"


@scenario(2)
@pytest.mark.parametrize("wire", WIRES)
def test_persistent_rate_limit_is_attempted_three_times(wire: str) -> None:
    first = Upstream(fails(429, kind="rate_limit_error"), wire=wire)

    with gateway(first) as server:
        failure = server.generate_failure()

    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED")
    assert failure.attempts == [("first", "PROVIDER_RATE_LIMITED")] * 3
    assert len(first.requests) == 3
    assert failure.seconds <= TOLERANCE_SECONDS


@scenario(2)
@pytest.mark.parametrize("wire", WIRES)
def test_a_429_whose_words_speak_of_a_spend_cap_is_not_retried(wire: str) -> None:
    first = Upstream(fails(429, "You have reached your monthly spend limit.", kind="rate_limit_error"), wire=wire)

    with gateway(first) as server:
        failure = server.generate_failure()

    assert failure.reason == "PROVIDER_QUOTA_EXHAUSTED"
    assert len(first.requests) == 1


@scenario(3)
def test_every_form_of_retry_advice_is_honored() -> None:
    upstreams = [Upstream(fails(429, "Slow down.", *headers), responds()) for headers, _ in RETRY_ADVICE]

    with gateway(*upstreams) as server:
        calls = [server.start_call(upstream.model) for upstream in upstreams]
        texts = [text_of(call.result()) for call in calls]

    delays = [(headers, least, retry_delay(one)) for (headers, least), one in zip(RETRY_ADVICE, upstreams, strict=True)]
    assert texts == [TEXT] * len(upstreams)
    assert [row for row in delays if not row[1] <= row[2] < row[1] + TOLERANCE_SECONDS] == []


@scenario(3)
def test_advice_to_wait_long_or_not_to_retry_prevents_retries() -> None:
    upstreams = [Upstream(fails(503, "Closed.", header)) for header in ADVICE_AGAINST_RETRIES]

    with gateway(*upstreams) as server:
        reasons = [server.generate_failure(upstream.model).reason for upstream in upstreams]

    assert reasons == ["PROVIDER_OVERLOADED"] * len(upstreams)
    assert [len(upstream.requests) for upstream in upstreams] == [1] * len(upstreams)


@scenario(4)
def test_a_single_server_error_is_retried() -> None:
    cases = list(product((500, 502, 503, 504), WIRES))
    upstreams = [Upstream(fails(status), responds(), wire=wire) for status, wire in cases]

    with gateway(*upstreams) as server:
        texts = [text_of(server.generate(upstream.model)) for upstream in upstreams]

    assert texts == [TEXT] * len(cases)
    assert [len(upstream.requests) for upstream in upstreams] == [2] * len(cases)
    assert max(map(retry_delay, upstreams)) < TOLERANCE_SECONDS


@scenario(5)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_overload_falls_back_after_retries(is_streamed: bool) -> None:
    fallback = Upstream(responds())
    overloads = (fails(529, kind="overloaded_error"), fails_in_band("overloaded_error"))
    upstreams = [Upstream(overload, wire=wire) for overload, wire in product(overloads, WIRES)]

    with gateway(*upstreams, fallback) as server:
        responses = [server.respond(is_streamed, one.model, fallback_models=[fallback.model]) for one in upstreams]

    for upstream, response in zip(upstreams, responses, strict=True):
        assert text_of(response) == TEXT
        assert attempts_of(response.execution)[0] == (upstream.name, "PROVIDER_OVERLOADED")
        assert attempts_of(response.execution)[-1] == (fallback.name, "")
        assert len(upstream.requests) <= 3


@scenario(28)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_retry_after_beyond_the_deadline_fails_the_call_at_once(is_streamed: bool) -> None:
    first = Upstream(fails(429, "Slow down.", "Retry-After: 5"))

    with gateway(first) as server:
        failure = server.fail(is_streamed, timeout=2.0)

    assert failure.seconds < TOLERANCE_SECONDS
    assert (failure.code, failure.reason) == ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED")
    assert failure.attempts == [("first", "PROVIDER_RATE_LIMITED")]
    assert failure.retry_delay == 5.0
