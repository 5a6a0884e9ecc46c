"""Providers that take their time: only content counts as a sign of life."""

from __future__ import annotations

import pytest

from tests.integration.faults.fault_catalog import (
    PING,
    breaks_off,
    keeps_silent,
    opens_and_keeps_silent,
    pings,
    says,
    streams,
    trickles,
)
from tests.integration.faults.gateway import LIMIT, NEXT, attempts_of, gateway, patience, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Act, Answer, Pause, Upstream
from tests.integration.faults.wires import TEXT

SILENT = [keeps_silent(), opens_and_keeps_silent(), pings(), trickles(0.02), says(late=20.0)]
SILENT_NAMES = ["accepts", "opens", "pings", "trickles", "says_late"]
FAILED_OVER = [("first", "FIRST_TOKEN_TIMEOUT"), ("second", "")]
UNBOUNDED = {"first_token_seconds": 60.0, "first_token_reasoning_seconds": 60.0}


@scenario(9, 10, 11)
@pytest.mark.parametrize(
    ("silent", "wire"),
    [*((silent, "chat_completions") for silent in SILENT), (pings(), "claude"), (keeps_silent(), "claude")],
    ids=[*SILENT_NAMES, "claude_pings", "claude_accepts"],
)
def test_a_whole_answer_comes_from_the_next_target_after_one_silent_attempt(silent: Answer, wire: str) -> None:
    first, second = Upstream(silent, wire=wire), Upstream(says())

    with gateway(first, second) as server:
        response = server.answer(fallback_models=NEXT)

    assert text_of(response) == TEXT
    assert attempts_of(response.route) == FAILED_OVER
    assert len(first.requests) == 1
    assert LIMIT / 2 <= second.requests[0].at - first.requests[0].at < 3.0


@scenario(9, 10, 11)
@pytest.mark.parametrize("silent", SILENT, ids=SILENT_NAMES)
def test_a_stream_comes_from_the_next_target_after_one_silent_attempt(silent: Answer) -> None:
    first, second = Upstream(silent), Upstream(says())

    with gateway(first, second) as server:
        events = server.stream(fallback_models=NEXT)

    assert text_of(events[-1].completed) == TEXT
    assert attempts_of(events[-1].completed.route) == FAILED_OVER
    assert not any(event.HasField("restarted") for event in events)
    assert len(first.requests) == 1


@scenario(9)
def test_a_silent_upstream_is_left_alone_once_its_attempt_is_over() -> None:
    first, second = Upstream(keeps_silent()), Upstream(says())

    with gateway(first, second) as server:
        server.answer(fallback_models=NEXT)
        left_at = first.requests[0].link.left_at

    assert left_at is not None
    assert left_at <= second.requests[0].at + 0.1


@scenario(9)
def test_without_another_target_silence_lasts_to_the_deadline() -> None:
    first = Upstream(keeps_silent())

    with gateway(first) as server:
        failure = server.refused(seconds=1.0)

    assert failure.code == "DEADLINE_EXCEEDED"
    assert failure.seconds > LIMIT
    assert len(first.requests) == 1


@scenario(9)
def test_a_calls_own_patience_holds_without_another_target_too() -> None:
    first = Upstream(keeps_silent())

    with gateway(first) as server:
        failure = server.refused(patience=patience(first_token=0.2))

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "FIRST_TOKEN_TIMEOUT")
    assert failure.seconds < 3.0
    assert failure.attempts == [("first", "FIRST_TOKEN_TIMEOUT")]
    assert len(first.requests) == 1


@scenario(10)
def test_a_models_own_patience_counts() -> None:
    first, second = Upstream(says(late=20.0)), Upstream(says())

    with gateway(first, second, patience=UNBOUNDED, models={"first/m": {"first_token_seconds": 0.2}}) as server:
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route) == FAILED_OVER


@scenario(10)
def test_who_is_slow_within_the_limit_answers() -> None:
    first, second = Upstream(says(late=0.05)), Upstream(says())

    with gateway(first, second, patience={"first_token_seconds": 5.0}) as server:
        response = server.answer(fallback_models=NEXT)

    assert attempts_of(response.route) == [("first", "")]
    assert second.requests == []


@scenario(11, 13)
@pytest.mark.parametrize("silence", [(Act.SILENCE,), (*[PING, Pause(0.05)] * 200,)], ids=["nothing", "pings"])
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_stream_that_stalls_is_interrupted(silence: tuple[object, ...], wire: str) -> None:
    first = Upstream(streams(lambda whole: (*whole.opening, *whole.words[:20], *silence)), wire=wire)  # type: ignore[arg-type]

    with gateway(first) as server:
        failure = server.interrupted()

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert LIMIT <= failure.seconds < 3.0
    assert failure.usage is not None
    assert failure.usage.output_tokens > 0


@scenario(13)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_whole_answer_that_stalls_comes_from_the_next_target(wire: str) -> None:
    first, second = Upstream(breaks_off(20, Act.SILENCE), wire=wire), Upstream(says())

    with gateway(first, second) as server:
        response = server.answer(fallback_models=NEXT)

    assert text_of(response) == TEXT
    assert [provider for provider, _ in attempts_of(response.route)] == ["first", "second"]
    assert response.route.attempts[0].usage.output_tokens > 0


@scenario(13)
def test_a_calls_own_idle_limit_counts() -> None:
    first = Upstream(breaks_off(20, Act.SILENCE))
    long = {"idle_text_seconds": 60.0, "idle_reasoning_seconds": 60.0}

    with gateway(first, patience=long) as server:
        failure = server.interrupted(patience=patience(idle=0.2))

    assert failure.reason == "STREAM_INTERRUPTED"
    assert failure.seconds < 3.0
