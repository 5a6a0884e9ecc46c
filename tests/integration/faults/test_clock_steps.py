"""Clocks that step: what is measured here is measured on a clock that does not."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from aimanager.v1 import health_pb2
from tests.integration.faults.fault_catalog import refuses, says
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT

HOUR = 3600.0
UNBOUNDED = None
"""gRPC reckons deadlines with the very clock that is stepped here for Python, but not for gRPC's own threads."""

TOKEN = (("authorization", "Bearer token-of-ann"),)


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of the machine forward or back, as everything in this process sees it."""
    true_time, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: true_time() + offset[0])

    def by(seconds: float) -> None:
        offset[0] += seconds

    return by


@scenario(33)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_limit_is_neither_lifted_nor_prolonged_by_a_step(step: Callable[[float], None], hours: int) -> None:
    callers = {"ann": {"token_sha256": hashlib.sha256(b"token-of-ann").hexdigest(), "tier": "two"}}
    tiers = {"two": {"requests_per_minute": 2}}

    with gateway(Upstream(says()), callers=callers, tiers=tiers) as server:
        allowed = [text_of(server.answer(metadata=TOKEN, seconds=UNBOUNDED)) for _ in range(2)]
        step(hours * HOUR)
        failure = server.refused(metadata=TOKEN, seconds=UNBOUNDED)

    assert allowed == [TEXT] * 2
    assert failure.reason == "RATE_LIMITED"
    assert failure.advice is not None
    assert 0 < failure.advice <= 60


@scenario(33)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_circuit_stays_open_as_long_as_it_would(step: Callable[[float], None], hours: int) -> None:
    first, second = Upstream(refuses(503), probe="off"), Upstream(says())
    breaker = {"failure_threshold": 1, "open_seconds": 30.0}

    with gateway(first, second, breaker=breaker, retry={"attempts": 1}) as server:
        server.answer(fallback_models=NEXT, seconds=UNBOUNDED)
        step(hours * HOUR)
        response = server.answer(fallback_models=NEXT, seconds=UNBOUNDED)
        state = server.health().circuit_breaker.state

    assert attempts_of(response.route) == [("first", "CIRCUIT_OPEN"), ("second", "")]
    assert state == health_pb2.CIRCUIT_STATE_OPEN
    assert len(first.requests) == 1


@scenario(33)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_call_under_way_survives_a_step(step: Callable[[float], None], hours: int) -> None:
    first = Upstream(says(late=0.2))

    with gateway(first, patience={"first_token_seconds": 5.0}) as server:
        call = server.ask(seconds=UNBOUNDED)
        time.sleep(0.1)
        step(hours * HOUR)
        response = call.result()

    assert text_of(response) == TEXT
    assert response.route.latency.ToTimedelta().total_seconds() < 60
