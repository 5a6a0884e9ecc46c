"""Hedged requests and routes: which target is called first, and which in addition."""

from __future__ import annotations

from collections import Counter
from itertools import count

from tests.integration.faults.fault_catalog import responds, stalls
from tests.integration.faults.gateway import (
    FALLBACK,
    SHORT_FIRST_TOKEN_TIMEOUTS,
    attempts_of,
    gateway,
    text_of,
    wait_until,
)
from tests.integration.faults.upstream import Delay, Request, Responder, Step, Upstream
from tests.integration.faults.wires import TEXT

HEDGING = {"enabled": True, "max_ratio": 1.0, "min_delay_seconds": 0.05, "min_samples": 3}
ROUTE = {"targets": ["first/m", "second/m"], "policy": "weighted", "weights": [3, 1]}


def slow_from_request(number: int) -> Responder:
    """Respond at once to the requests before this number, and after ten seconds to all others."""
    complete, numbers = responds(), count(1)

    def respond(request: Request) -> tuple[Step, ...]:
        delay = (Delay(10.0),) if next(numbers) >= number else ()
        return (*delay, *complete(request))

    return respond


def test_hedged_request_overtakes_a_slow_target_and_cancels_it() -> None:
    first, second = Upstream(slow_from_request(4)), Upstream(responds())

    with gateway(first, second, hedging=HEDGING) as server:
        for _ in range(3):
            server.generate(fallback_models=FALLBACK)
        response = server.generate(fallback_models=FALLBACK)
        wait_until(lambda: first.requests[-1].connection.closed_at is not None)

    assert text_of(response) == TEXT
    assert attempts_of(response.execution) == [("first", "CANCELLED"), ("second", "")]
    assert response.execution.attempts[0].usage.input_tokens > 0
    assert response.execution.latency.ToTimedelta().total_seconds() < 5


def test_hedging_is_off_by_default() -> None:
    first, second = Upstream(slow_from_request(4)), Upstream(responds())

    with gateway(first, second, stream_timeouts=SHORT_FIRST_TOKEN_TIMEOUTS) as server:
        for _ in range(3):
            server.generate(fallback_models=FALLBACK)
        response = server.generate(fallback_models=FALLBACK)

    assert attempts_of(response.execution) == [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]


def test_a_weighted_route_distributes_calls_by_weight() -> None:
    first, second = Upstream(responds()), Upstream(responds())

    with gateway(first, second, routes={"fast-chat": ROUTE}) as server:
        calls = [server.start_call("fast-chat") for _ in range(80)]
        providers = Counter(call.result().execution.provider for call in calls)

    assert providers.total() == 80
    assert providers["first"] > providers["second"] > 0


def test_a_route_falls_back_to_its_next_target() -> None:
    first, second = Upstream(stalls()), Upstream(responds())
    route = {**ROUTE, "policy": "priority", "weights": []}

    with gateway(first, second, routes={"fast-chat": route}, stream_timeouts=SHORT_FIRST_TOKEN_TIMEOUTS) as server:
        response = server.generate("fast-chat")

    assert response.execution.requested_model == "fast-chat"
    assert attempts_of(response.execution) == [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]
