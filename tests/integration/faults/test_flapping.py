"""Circuit breaker and retry budget: providers that fail for some time, recover, and fail again."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest

from aimanager.v1 import health_pb2
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.gateway import FALLBACK, SINGLE_ATTEMPT, Gateway, attempts_of, gateway, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Request, Upstream, list_models

DOWN = fails(503)
PROBE_SECONDS = 0.15
FAILURE_THRESHOLD = 3
BREAKER = {
    "failure_threshold": FAILURE_THRESHOLD,
    "probe_interval_seconds": PROBE_SECONDS,
    "open_seconds": PROBE_SECONDS,
}
NEVER_OPENS = {"failure_threshold": 100_000, "minimum_calls": 100_000, "failure_rate_threshold": 1.0}
SKIPPED = [("first", "CIRCUIT_OPEN"), ("second", "")]
HALF_OPEN = health_pb2.CIRCUIT_STATE_HALF_OPEN


def serving_provider(server: Gateway) -> str:
    """Return the provider that serves a call with a fallback."""
    return str(server.generate(fallback_models=FALLBACK).execution.provider)


def open_breaker(server: Gateway) -> None:
    """Fail the first provider often enough to open its breaker."""
    for _ in range(FAILURE_THRESHOLD):
        assert serving_provider(server) == "second"


def shortest_gap(requests: list[Request]) -> float:
    """Return the shortest time between two consecutive requests, in seconds."""
    return min(later.received_at - earlier.received_at for earlier, later in pairwise(requests))


@scenario(26)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_open_breaker_admits_only_probes(wire: str) -> None:
    first, second = Upstream(DOWN, probe_responder=DOWN, wire=wire), Upstream(responds())

    with gateway(first, second, circuit_breaker=BREAKER, retry=SINGLE_ATTEMPT) as server:
        open_breaker(server)
        wait_until(lambda: len(first.probes) >= 3)
        routes = [attempts_of(server.generate(fallback_models=FALLBACK).execution) for _ in range(20)]

    assert routes == [SKIPPED] * 20
    assert len(first.requests) == FAILURE_THRESHOLD
    assert second.probes == []
    assert shortest_gap(first.probes) >= PROBE_SECONDS * 0.5  # jitter, and a busy machine delays the first


@scenario(26)
def test_successful_probe_closes_the_breaker_after_one_trial_call() -> None:
    first, second = Upstream(DOWN, probe_responder=DOWN), Upstream(responds())

    with gateway(first, second, circuit_breaker=BREAKER, retry=SINGLE_ATTEMPT) as server:
        open_breaker(server)
        first.set_script(responds())
        assert serving_provider(server) == "second"
        first.probe_responder = list_models
        wait_until(lambda: serving_provider(server) == "first")
        providers = [serving_provider(server) for _ in range(10)]

    assert providers == ["first"] * 10
    assert len(first.requests) == FAILURE_THRESHOLD + 1 + 10


@scenario(26)
def test_failed_trial_call_after_a_successful_probe_reopens_the_breaker() -> None:
    first, second = Upstream(DOWN), Upstream(responds())
    providers: list[str] = []

    with gateway(first, second, circuit_breaker=BREAKER, retry=SINGLE_ATTEMPT) as server:
        open_breaker(server)
        while len(first.requests) < FAILURE_THRESHOLD + 3:
            providers.append(serving_provider(server))
            time.sleep(0.002)

    trials = first.requests[FAILURE_THRESHOLD:]
    assert set(providers) == {"second"}
    assert len(first.probes) >= len(trials)
    assert shortest_gap(trials) >= PROBE_SECONDS * 0.85


@scenario(26, 35)
def test_half_open_breaker_admits_one_call_of_a_herd() -> None:
    first, second = Upstream(DOWN, probe_responder=DOWN), Upstream(responds())

    with gateway(first, second, circuit_breaker=BREAKER, retry=SINGLE_ATTEMPT) as server:
        open_breaker(server)
        first.set_script(responds(delay=0.4))
        first.probe_responder = list_models
        wait_until(lambda: server.health().circuit_breaker.state == HALF_OPEN)
        herd = [server.start_call(fallback_models=FALLBACK) for _ in range(30)]
        providers = [call.result().execution.provider for call in herd]

    assert providers.count("first") == 1
    assert providers.count("second") == 29
    assert len(first.requests) == FAILURE_THRESHOLD + 1


@scenario(26)
def test_without_probes_the_open_time_grows_with_every_failed_trial_call() -> None:
    first, second = Upstream(DOWN, probe="off"), Upstream(responds())
    providers: list[str] = []

    with gateway(first, second, circuit_breaker=BREAKER, retry=SINGLE_ATTEMPT) as server:
        open_breaker(server)
        while len(first.requests) < FAILURE_THRESHOLD + 2:
            providers.append(serving_provider(server))
            time.sleep(0.002)

    opened, first_trial, second_trial = (request.received_at for request in first.requests[FAILURE_THRESHOLD - 1 :])
    assert set(providers) == {"second"}
    assert first.probes == []
    assert first_trial - opened >= PROBE_SECONDS
    assert second_trial - first_trial > 1.3 * PROBE_SECONDS


@scenario(26)
def test_no_call_fails_while_the_primary_flaps() -> None:
    first, second = Upstream(responds()), Upstream(responds())
    routes: list[Any] = []

    with gateway(first, second, circuit_breaker=BREAKER) as server:
        for is_down in (True, False, True, False):
            first.set_script(DOWN if is_down else responds())
            first.probe_responder = DOWN if is_down else list_models
            phase_end = time.monotonic() + 2 * PROBE_SECONDS
            while time.monotonic() < phase_end:
                routes.append(attempts_of(server.generate(fallback_models=FALLBACK).execution))
        wait_until(lambda: serving_provider(server) == "first")

    assert all(attempts[-1][1] == "" for attempts in routes)
    assert max(sum(provider == "first" for provider, _ in attempts) for attempts in routes) <= 3


@scenario(35)
@pytest.mark.parametrize("fallbacks", [(), FALLBACK], ids=["without fallback", "with fallback"])
def test_retries_stay_within_the_retry_budget(fallbacks: tuple[str, ...]) -> None:
    first, second = Upstream(DOWN), Upstream(responds())
    calls, concurrency = 120, 30

    with gateway(first, second, circuit_breaker=NEVER_OPENS) as server:
        started_at = time.monotonic()
        for _ in range(calls // concurrency):
            in_flight = [server.start_call(fallback_models=fallbacks) for _ in range(concurrency)]
            for call in in_flight:
                assert (call.exception() is None) is bool(fallbacks)
        seconds = time.monotonic() - started_at

    assert len(first.requests) >= calls
    assert len(first.requests) <= calls * 1.1 + 10 + seconds + 1


@scenario(26)
def test_a_call_makes_at_most_three_attempts_at_a_failing_provider() -> None:
    first, second = Upstream(DOWN), Upstream(responds())

    with gateway(first, second, circuit_breaker=NEVER_OPENS) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution).count(("first", "PROVIDER_OVERLOADED")) <= 3
    assert attempts_of(response.execution)[-1] == ("second", "")
