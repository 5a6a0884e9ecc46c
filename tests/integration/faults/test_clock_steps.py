"""Steps of the system clock do not affect quotas, breakers and timeouts, which use a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from aimanager.v1 import health_pb2
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.gateway import FALLBACK, SINGLE_ATTEMPT, attempts_of, gateway, text_of, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT
from tests.support.tokens import bearer, callers

HOUR = 3600.0
NO_DEADLINE = None
"""gRPC computes deadlines with time.time(), which these tests replace for Python but not for gRPC's own threads."""

CREDENTIALS = bearer("ann")


@pytest.fixture
def step_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Step the system clock of this process by a number of seconds."""
    system_time, offset = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: system_time() + offset[0])

    def step(seconds: float) -> None:
        offset[0] += seconds

    return step


@scenario(33)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_step_does_not_change_a_quota_window(step_clock: Callable[[float], None], hours: int) -> None:
    tiers = {"two": {"requests_per_minute": 2}}

    with gateway(Upstream(responds()), callers=callers("ann", tier="two"), tiers=tiers) as server:
        texts = [text_of(server.generate(metadata=CREDENTIALS, timeout=NO_DEADLINE)) for _ in range(2)]
        step_clock(hours * HOUR)
        failure = server.generate_failure(metadata=CREDENTIALS, timeout=NO_DEADLINE)

    assert texts == [TEXT] * 2
    assert failure.reason == "RATE_LIMITED"
    assert failure.retry_delay is not None
    assert 0 < failure.retry_delay <= 60


@scenario(33)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_step_does_not_close_an_open_breaker(step_clock: Callable[[float], None], hours: int) -> None:
    first, second = Upstream(fails(503), probe="off"), Upstream(responds())
    breaker = {"failure_threshold": 1, "open_seconds": 30.0}

    with gateway(first, second, circuit_breaker=breaker, retry=SINGLE_ATTEMPT) as server:
        server.generate(fallback_models=FALLBACK, timeout=NO_DEADLINE)
        step_clock(hours * HOUR)
        response = server.generate(fallback_models=FALLBACK, timeout=NO_DEADLINE)
        state = server.health().circuit_breaker.state

    assert attempts_of(response.execution) == [("first", "CIRCUIT_OPEN"), ("second", "")]
    assert state == health_pb2.CIRCUIT_STATE_OPEN
    assert len(first.requests) == 1


@scenario(33)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_step_does_not_end_a_call_in_flight(step_clock: Callable[[float], None], hours: int) -> None:
    first = Upstream(responds(delay=0.2))

    with gateway(first, stream_timeouts={"first_token_seconds": 5.0}) as server:
        call = server.start_call(timeout=NO_DEADLINE)
        wait_until(lambda: len(first.requests) == 1)
        step_clock(hours * HOUR)
        response = call.result()

    assert text_of(response) == TEXT
    assert response.execution.latency.ToTimedelta().total_seconds() < 60
