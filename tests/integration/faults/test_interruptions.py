"""Responses that are interrupted after their first content: no partial response passes for a complete one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aimanager.v1 import generation_pb2
from tests.integration.faults.fault_catalog import interrupts, responds, sends, streams
from tests.integration.faults.gateway import (
    FALLBACK,
    SHORT_IDLE_TIMEOUTS,
    attempts_of,
    event_types,
    gateway,
    streamed_text,
    text_of,
)
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Delay, Responder, Upstream
from tests.integration.faults.wires import TEXT, anthropic_event
from tests.support.http_servers.raw import SocketFault

INTERRUPTIONS = [
    interrupts(40, SocketFault.CLOSE),
    interrupts(40, SocketFault.RESET),
    interrupts(20, SocketFault.STALL),
]
FAULTS = ["close", "reset", "stall"]
TOOL = generation_pb2.Tool(name="look", description="Looks.")


def restarts_in(events: Sequence[generation_pb2.StreamGenerateResponse]) -> list[generation_pb2.StreamRestarted]:
    return [event.restarted for event in events if event.HasField("restarted")]


@scenario(12)
@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=FAULTS)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_an_interrupted_unary_call_gets_a_complete_response_from_the_fallback(
    interruption: Responder, wire: str
) -> None:
    first, second = Upstream(interruption, wire=wire), Upstream(responds())

    with gateway(first, second, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        response = server.generate(fallback_models=FALLBACK)

    assert text_of(response) == TEXT
    assert attempts_of(response.execution) == [("first", "STREAM_INTERRUPTED"), ("second", "")]
    assert response.execution.attempts[0].usage.output_tokens > 0
    assert response.usage.output_tokens == 60


@scenario(12)
@pytest.mark.parametrize("fault", [SocketFault.CLOSE, SocketFault.RESET], ids=["close", "reset"])
def test_an_interrupted_unary_call_never_returns_a_partial_response(fault: SocketFault) -> None:
    first = Upstream(interrupts(40, fault))

    with gateway(first) as server:
        failure = server.generate_failure()

    assert failure.code in ("ABORTED", "UNAVAILABLE")
    assert failure.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL", "PROVIDER_UNREACHABLE")


@scenario(12, 13)
@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=FAULTS)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_an_interrupted_stream_is_aborted_with_its_usage(interruption: Responder, wire: str) -> None:
    first, second = Upstream(interruption, wire=wire), Upstream(responds())

    with gateway(first, second, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        failure = server.stream_failure(fallback_models=FALLBACK)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert "completed" not in event_types(failure.events)
    assert streamed_text(failure.events)
    assert TEXT.startswith(streamed_text(failure.events))
    assert failure.usage is not None
    assert failure.usage.input_tokens > 0
    assert failure.usage.output_tokens > 0
    assert second.requests == []


@scenario(12, 13)
@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=FAULTS)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_an_interrupted_stream_restarts_if_the_caller_permits_it(interruption: Responder, wire: str) -> None:
    first, second = Upstream(interruption, wire=wire), Upstream(responds(), wire=wire)

    with gateway(first, second, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        events = server.stream(fallback_models=FALLBACK, restart=True)

    (restarted,) = restarts_in(events)
    assert restarted.execution.provider == "second"
    assert attempts_of(restarted.execution)[0] == ("first", "STREAM_INTERRUPTED")
    assert streamed_text(events) == text_of(events[-1].completed) == TEXT
    assert event_types(events)[0] == "started"
    assert event_types(events).count("started") == 1
    assert [event.sequence for event in events] == list(range(len(events)))
    assert attempts_of(events[-1].completed.execution) == [("first", "STREAM_INTERRUPTED"), ("second", "")]
    assert events[-1].completed.usage.output_tokens == 60


@scenario(12)
def test_a_stream_without_a_fallback_restarts_at_the_same_target() -> None:
    first = Upstream(interrupts(40), responds())

    with gateway(first) as server:
        events = server.stream(restart=True)

    assert len(restarts_in(events)) == 1
    assert streamed_text(events) == text_of(events[-1].completed) == TEXT
    assert len(first.requests) == 2


@scenario(12)
def test_a_stream_restarts_at_the_same_target_only_once() -> None:
    first = Upstream(interrupts(40))

    with gateway(first) as server:
        failure = server.stream_failure(restart=True)

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert len(restarts_in(failure.events)) == 1
    assert len(first.requests) == 2


@scenario(12)
@pytest.mark.parametrize("fault", [SocketFault.CLOSE, SocketFault.STALL], ids=["close", "stall"])
def test_a_stream_never_restarts_after_a_completed_tool_call(fault: SocketFault) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    call = (
        anthropic_event("content_block_start", index=1, content_block=block),
        anthropic_event("content_block_stop", index=1),
    )
    interruption = streams(lambda events: (*events.opening, *events.words[:5], *call, Delay(0.05), fault))
    first, second = Upstream(interruption, wire="anthropic"), Upstream(responds())

    with gateway(first, second, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        failure = server.stream_failure(fallback_models=FALLBACK, restart=True, tools=[TOOL])

    assert (failure.code, failure.reason) == ("ABORTED", "STREAM_INTERRUPTED")
    assert any(event.part_completed.part.HasField("tool_call") for event in failure.events)
    assert restarts_in(failure.events) == []
    assert second.requests == []


@scenario(8)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_connection_lost_before_the_first_content_is_retried(is_streamed: bool) -> None:
    upstreams = [
        Upstream(sends(SocketFault.RESET), responds()),
        Upstream(sends(SocketFault.CLOSE), responds()),
        Upstream(sends(b"HTTP/1.1 200 OK\r\nContent-", SocketFault.RESET), responds()),
        Upstream(streams(lambda events: (SocketFault.RESET,)), responds()),
    ]

    with gateway(*upstreams) as server:
        responses = [server.respond(is_streamed, upstream.model) for upstream in upstreams]

    assert [text_of(response) for response in responses] == [TEXT] * len(upstreams)
    assert [len(upstream.requests) for upstream in upstreams] == [2] * len(upstreams)
    assert [attempts_of(one.execution)[-1] for one in responses] == [(upstream.name, "") for upstream in upstreams]


@scenario(8)
def test_a_connection_that_is_lost_repeatedly_fails_the_call() -> None:
    first = Upstream(sends(SocketFault.RESET))

    with gateway(first) as server:
        failure = server.generate_failure()

    assert (failure.code, failure.reason) == ("UNAVAILABLE", "PROVIDER_UNREACHABLE")
    assert len(failure.attempts) == 3
    assert failure.seconds < 3.0
