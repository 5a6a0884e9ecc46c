"""Hedging and routes: who is asked first, and who is asked beside."""

from __future__ import annotations

from collections import Counter

from tests.integration.faults.fault_catalog import says
from tests.integration.faults.gateway import NEXT, attempts_of, gateway, text_of, until
from tests.integration.faults.upstream import Answer, Asked, Pause, Step, Upstream
from tests.integration.faults.wires import TEXT

HEDGING = {"enabled": True, "share": 1.0, "least_seconds": 0.1, "least_samples": 3}
ROUTE = {"targets": ["first/m", "second/m"], "policy": "weighted", "weights": [3, 1]}


def slow_from(number: int) -> Answer:
    """Answers at once, and from so many requests on only after ten seconds."""
    answers, asked_so_far = says(), Counter[str]()

    def answer(asked: Asked) -> tuple[Step, ...]:
        asked_so_far["all"] += 1
        wait = (Pause(10.0),) if asked_so_far["all"] >= number else ()
        return (*wait, *answers(asked))

    return answer


def test_who_is_slower_than_mostly_is_overtaken_and_called_off() -> None:
    first, second = Upstream(slow_from(4)), Upstream(says())

    with gateway(first, second, hedging=HEDGING, patience={"first_token_seconds": 8.0}) as server:
        for _ in range(3):
            server.answer(fallback_models=NEXT)
        response = server.answer(fallback_models=NEXT)
        until(lambda: first.requests[-1].link.ended_at is not None)

    assert text_of(response) == TEXT
    assert attempts_of(response.route) == [("first", "CANCELLED"), ("second", "")]
    loser = response.route.attempts[0]
    assert loser.usage.input_tokens > 0
    assert response.route.latency.ToTimedelta().total_seconds() < 5


def test_nobody_is_asked_twice_unless_the_operator_says_so() -> None:
    first, second = Upstream(slow_from(4)), Upstream(says())

    with gateway(first, second, patience={"first_token_seconds": 0.5}) as server:
        for _ in range(3):
            server.answer(fallback_models=NEXT)
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route) == [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]


def test_a_route_spreads_its_calls_by_weight() -> None:
    first, second = Upstream(says()), Upstream(says())

    with gateway(first, second, routes={"fast-chat": ROUTE}) as server:
        answered = Counter(server.answer("fast-chat").route.provider for _ in range(80))

    assert answered["first"] + answered["second"] == 80
    assert answered["first"] > answered["second"] > 0


def test_a_route_whose_first_target_fails_is_answered_by_another() -> None:
    first, second = Upstream(slow_from(1)), Upstream(says())

    with gateway(first, second, routes={"fast-chat": {**ROUTE, "policy": "priority", "weights": []}}) as server:
        response = server.answer("fast-chat")

    assert response.route.requested_model == "fast-chat"
    assert attempts_of(response.route) == [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]
