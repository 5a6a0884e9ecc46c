"""Answers that are cut after 40 of 60 tokens: never half of one for a whole one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aimanager.v1 import generation_pb2
from tests.integration.faults.fault_catalog import breaks_off, does, says, streams
from tests.integration.faults.gateway import LIMIT, NEXT, attempts_of, gateway, kinds_of, previewed, text_of
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Act, Answer, Pause, Upstream
from tests.integration.faults.wires import TEXT, claude_event

BREAKS = [breaks_off(40, Act.CLOSE), breaks_off(40, Act.RESET), breaks_off(20, Act.SILENCE)]
BREAK_NAMES = ["closes", "resets", "stalls"]
TOOL = generation_pb2.Tool(name="look", description="Looks.")


def restarts_in(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[generation_pb2.StreamRestarted]:
    return [event.restarted for event in events if event.HasField("restarted")]


@scenario(12)
@pytest.mark.parametrize("breaks", BREAKS, ids=BREAK_NAMES)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_caller_of_a_whole_answer_gets_one_from_the_next_target(breaks: Answer, wire: str) -> None:
    first, second = Upstream(breaks, wire=wire), Upstream(says())

    with gateway(first, second) as server:
        response = server.answer(fallback_models=NEXT)

    assert text_of(response) == TEXT
    assert attempts_of(response.route) == [("first", "STREAM_INTERRUPTED"), ("second", "")]
    assert response.route.attempts[0].usage.output_tokens > 0
    assert response.usage.output_tokens == 60


@scenario(12)
@pytest.mark.parametrize("how", [Act.CLOSE, Act.RESET], ids=["closes", "resets"])
def test_a_whole_answer_that_is_cut_is_never_half_of_one(how: Act) -> None:
    first = Upstream(breaks_off(40, how))

    with gateway(first) as server:
        failure = server.refused()

    assert failure.code in ("ABORTED", "UNAVAILABLE")
    assert failure.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL", "PROVIDER_UNREACHABLE")


@scenario(12, 13)
@pytest.mark.parametrize("breaks", BREAKS, ids=BREAK_NAMES)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_stream_is_aborted_with_what_was_paid_for(breaks: Answer, wire: str) -> None:
    first, second = Upstream(breaks, wire=wire), Upstream(says())

    with gateway(first, second) as server:
        failure = server.interrupted(fallback_models=NEXT)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert "completed" not in kinds_of(failure.seen)
    assert previewed(failure.seen)
    assert TEXT.startswith(previewed(failure.seen))
    assert failure.usage is not None
    assert failure.usage.input_tokens > 0
    assert failure.usage.output_tokens > 0
    assert second.requests == []


@scenario(12, 13)
@pytest.mark.parametrize("breaks", BREAKS, ids=BREAK_NAMES)
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_stream_begins_again_where_its_caller_asked_for_that(breaks: Answer, wire: str) -> None:
    first, second = Upstream(breaks, wire=wire), Upstream(says(), wire=wire)

    with gateway(first, second) as server:
        events = server.stream(fallback_models=NEXT, restarts=True)

    (restarted,) = restarts_in(events)
    assert restarted.route.provider == "second"
    assert attempts_of(restarted.route)[0] == ("first", "STREAM_INTERRUPTED")
    assert previewed(events) == text_of(events[-1].completed) == TEXT
    assert kinds_of(events)[0] == "started"
    assert kinds_of(events).count("started") == 1
    assert [event.sequence for event in events] == list(range(len(events)))
    assert attempts_of(events[-1].completed.route) == [("first", "STREAM_INTERRUPTED"), ("second", "")]
    assert events[-1].completed.usage.output_tokens == 60


@scenario(12)
def test_a_stream_begins_again_at_the_same_target_where_there_is_no_other() -> None:
    first = Upstream(breaks_off(40), says())

    with gateway(first) as server:
        events = server.stream(restarts=True)

    assert len(restarts_in(events)) == 1
    assert previewed(events) == text_of(events[-1].completed) == TEXT
    assert len(first.requests) == 2


@scenario(12)
def test_a_stream_begins_again_at_the_same_target_once() -> None:
    first = Upstream(breaks_off(40))

    with gateway(first) as server:
        failure = server.interrupted(restarts=True)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert len(restarts_in(failure.seen)) == 1
    assert len(first.requests) == 2


@scenario(12)
@pytest.mark.parametrize("how", [Act.CLOSE, Act.SILENCE], ids=["closes", "stalls"])
def test_a_stream_whose_tool_call_may_have_run_never_begins_again(how: Act) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    call = (
        claude_event("content_block_start", index=1, content_block=block),
        claude_event("content_block_stop", index=1),
    )
    breaks = streams(lambda whole: (*whole.opening, *whole.words[:5], *call, Pause(0.05), how))
    first, second = Upstream(breaks, wire="claude"), Upstream(says())

    with gateway(first, second) as server:
        failure = server.interrupted(fallback_models=NEXT, restarts=True, tools=[TOOL])

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert any(event.part_completed.part.HasField("tool_call") for event in failure.seen)
    assert restarts_in(failure.seen) == []
    assert second.requests == []


@scenario(8)
@pytest.mark.parametrize("lost", [(Act.RESET,), (Act.CLOSE,), (b"HTTP/1.1 200 OK\r\nContent-", Act.RESET)])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_connection_lost_before_its_headers_is_made_good(lost: tuple[bytes | Act, ...], is_streamed: bool) -> None:
    first = Upstream(does(*lost), says())

    with gateway(first) as server:
        response = server.stream()[-1].completed if is_streamed else server.answer()

    assert text_of(response) == TEXT
    assert len(first.requests) == 2


@scenario(8)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_connection_lost_between_headers_and_content_is_made_good(is_streamed: bool) -> None:
    first = Upstream(streams(lambda whole: (*whole.opening[:0], Act.RESET)), says())

    with gateway(first) as server:
        response = server.stream()[-1].completed if is_streamed else server.answer()

    assert text_of(response) == TEXT
    assert len(first.requests) == 2
    assert attempts_of(response.route)[-1] == ("first", "")


@scenario(8)
def test_a_connection_that_stays_lost_is_a_marked_error() -> None:
    first = Upstream(does(Act.RESET))

    with gateway(first) as server:
        failure = server.refused()

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_UNREACHABLE")
    assert len(failure.attempts) == 3
    assert failure.seconds < 10 * LIMIT
