"""Providers that fail for long, come back, and fail again: who is asked meanwhile, and how often."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aimanager.v1 import health_pb2
from tests.integration.faults.fault_catalog import refuses, says
from tests.integration.faults.gateway import NEXT, Gateway, attempts_of, gateway, until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream

DOWN = refuses(503)
PROBE_SECONDS = 0.3
BREAKER = {"failure_threshold": 3, "probe_seconds": PROBE_SECONDS, "open_seconds": PROBE_SECONDS}
ONCE = {"attempts": 1}
NEVER_OPENS = {"failure_threshold": 100_000, "window_calls": 100_000, "window_share": 1.0}
PAST_OPEN = [("first", "CIRCUIT_OPEN"), ("second", "")]
HALF_OPEN = health_pb2.CIRCUIT_STATE_HALF_OPEN


def answerer(server: Gateway) -> str:
    """Who answers a call that both could."""
    return str(server.answer(fallback_models=NEXT).route.provider)


def opened(server: Gateway) -> None:
    """Fail often enough."""
    for _ in range(3):
        assert answerer(server) == "second"


@scenario(26)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_while_a_circuit_is_open_only_probes_reach_the_provider(wire: str) -> None:
    first, second = Upstream(DOWN, listing=DOWN, wire=wire), Upstream(says())

    with gateway(first, second, breaker=BREAKER, retry=ONCE) as server:
        opened(server)
        until(lambda: len(first.listings) >= 3)
        routes = [attempts_of(server.answer(fallback_models=NEXT).route) for _ in range(20)]

    assert routes == [PAST_OPEN] * 20
    assert len(first.requests) == 3
    assert second.listings == []
    gaps = [later.at - earlier.at for earlier, later in zip(first.listings, first.listings[1:], strict=False)]
    assert min(gaps) >= PROBE_SECONDS * 0.85


@scenario(26)
def test_a_probe_that_succeeds_brings_the_provider_back() -> None:
    first, second = Upstream(DOWN, listing=DOWN), Upstream(says())

    with gateway(first, second, breaker=BREAKER, retry=ONCE) as server:
        opened(server)
        first.plays(says())
        assert answerer(server) == "second"
        first.listing = Upstream().listing
        until(lambda: answerer(server) == "first")
        after = [answerer(server) for _ in range(10)]

    assert after == ["first"] * 10
    assert len(first.requests) == 3 + 1 + 10


@scenario(26)
def test_a_probe_that_succeeds_where_the_model_still_fails_costs_one_call() -> None:
    first, second = Upstream(DOWN), Upstream(says())

    with gateway(first, second, breaker=BREAKER, retry=ONCE) as server:
        opened(server)
        began = time.monotonic()
        while time.monotonic() < began + 4 * PROBE_SECONDS:
            assert answerer(server) == "second"
            time.sleep(0.01)

    assert 4 <= len(first.requests) <= 3 + 6


@scenario(26, 35)
def test_a_herd_that_finds_a_provider_half_open_sends_one_ahead() -> None:
    first, second = Upstream(DOWN, listing=DOWN), Upstream(says())

    with gateway(first, second, breaker=BREAKER, retry=ONCE, patience={"first_token_seconds": 9.0}) as server:
        opened(server)
        first.plays(says(late=0.5))
        first.listing = Upstream().listing
        until(lambda: server.health().circuit_breaker.state == HALF_OPEN)
        herd = [server.ask(fallback_models=NEXT) for _ in range(30)]
        answered = [one.result().route.provider for one in herd]

    assert answered.count("first") == 1
    assert answered.count("second") == 29
    assert len(first.requests) == 3 + 1


@scenario(26)
def test_without_a_probe_the_pause_grows_with_every_failed_trial() -> None:
    first, second = Upstream(DOWN, probe="off"), Upstream(says())

    with gateway(first, second, breaker=BREAKER, retry=ONCE) as server:
        opened(server)
        began = time.monotonic()
        while time.monotonic() < began + 1.2:
            assert answerer(server) == "second"
            time.sleep(0.01)

    trials = [asked.at for asked in first.requests][2:]
    assert first.listings == []
    assert 2 <= len(trials) <= 4
    assert trials[1] - trials[0] >= PROBE_SECONDS


@scenario(26)
def test_no_call_fails_while_a_primary_flaps() -> None:
    first, second = Upstream(says()), Upstream(says())
    healthy = first.listing
    routes: list[Any] = []

    with gateway(first, second, breaker=BREAKER) as server:
        for is_down in (True, False, True, False):
            first.plays(DOWN if is_down else says())
            first.listing = DOWN if is_down else healthy
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                routes.append(attempts_of(server.answer(fallback_models=NEXT).route))
        until(lambda: answerer(server) == "first")

    assert all(route[-1][1] == "" for route in routes)
    assert max(sum(provider == "first" for provider, _ in route) for route in routes) <= 3


@scenario(35)
@pytest.mark.parametrize("others", [(), NEXT], ids=["alone", "with another"])
def test_retries_of_a_storm_stay_within_their_budget(others: tuple[str, ...]) -> None:
    first, second = Upstream(DOWN), Upstream(says())
    calls, at_once = 300, 30

    with gateway(first, second, breaker=NEVER_OPENS) as server:
        began = time.monotonic()
        for _ in range(calls // at_once):
            under_way = [server.ask(fallback_models=others) for _ in range(at_once)]
            for one in under_way:
                assert (one.exception() is None) is bool(others)
        seconds = time.monotonic() - began

    assert len(first.requests) >= calls
    assert len(first.requests) <= calls * 1.1 + 10 + seconds + 1


@scenario(26)
def test_a_provider_that_stays_dead_costs_a_call_three_attempts_at_most() -> None:
    first, second = Upstream(DOWN), Upstream(says())

    with gateway(first, second, breaker=NEVER_OPENS) as server:
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route).count(("first", "PROVIDER_OVERLOADED")) <= 3
    assert attempts_of(response.route)[-1] == ("second", "")
