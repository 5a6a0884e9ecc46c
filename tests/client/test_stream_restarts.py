"""Restarted streams: events, pieces, text, the response, and the call."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import grpc
import pytest

from aimanager import AIManager, AIResponse, InvalidRequestError, Restarted, StreamInterruptedError
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.messages import error_status, make_response, stream_events
from tests.support.fake_gateway.restarts import interrupted, one_stream, restarted
from tests.support.fake_gateway.server import FakeGateway, Hang

Event = generation_pb2.StreamGenerateResponse
RESPONSE = make_response("Hello.")
USAGE = usage_pb2.Usage(output_tokens=20, source=usage_pb2.USAGE_SOURCE_ESTIMATED)
FAILED = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "All targets failed.", details=[USAGE])


@pytest.fixture
def restarting(fake: FakeGateway) -> FakeGateway:
    """Streams `Wr`, restarts, and streams `Hello.`"""
    fake.respond("StreamGenerate", one_stream(interrupted("W", "r"), restarted(RESPONSE, "Hel", "lo.")))
    return fake


@pytest.mark.usefixtures("restarting")
def test_events_continue_after_a_restart(ai: AIManager) -> None:
    events = list(ai.stream("Hi").events)

    names = [type(event).__name__ for event in events]
    restart = events[3]
    assert names == [
        *("StreamStarted", "PartDelta", "PartDelta", "Restarted"),
        *("PartDelta", "PartDelta", "PartCompleted", "AIResponse"),
    ]
    assert isinstance(restart, Restarted)
    assert (restart.provider, restart.model, restart.execution.requested_model) == ("mock", "mock-large", "mock/latest")
    assert [attempt.error_reason for attempt in restart.attempts] == ["PROVIDER_TIMEOUT"]


@pytest.mark.usefixtures("restarting")
def test_text_raises_at_a_restart_with_the_interrupted_attempt(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    texts: list[str] = []

    with pytest.raises(StreamInterruptedError, match="is being restarted") as raised:
        texts.extend(stream.text)

    error = raised.value
    assert texts == ["W", "r"]
    assert (error.reason, error.provider, error.model) == ("STREAM_INTERRUPTED", "mock", "mock-small")
    assert [attempt.error_reason for attempt in error.attempts] == ["PROVIDER_TIMEOUT"]
    assert error.attempts[0].cost == Decimal("0.001")
    assert error.usage == error.attempts[0].usage
    assert error.usage is not None
    assert error.usage.output_tokens == 9


@pytest.mark.usefixtures("restarting")
def test_pieces_raise_at_a_restart(ai: AIManager) -> None:
    stream = ai.stream("Hi")

    with pytest.raises(StreamInterruptedError):
        list(stream)

    assert stream.response.content == "Hello."


@pytest.mark.usefixtures("restarting")
def test_response_after_a_restart_is_the_new_response(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream.text)

    assert stream.response.content == "Hello."
    assert stream.response == stream.complete()


@pytest.mark.usefixtures("restarting")
def test_second_reader_receives_the_new_pieces(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream.text)

    pieces = list(stream)

    assert [piece.content for piece in pieces] == ["Hel", "lo.", ""]
    assert [piece.metadata.model for piece in pieces] == ["mock-large"] * 3
    with pytest.raises(RuntimeError, match="once"):
        list(stream.text)


def test_restart_forgets_delivered_deltas(fake: FakeGateway, ai: AIManager) -> None:
    unseen = restarted(RESPONSE, "Hello.")[1:]
    fake.respond("StreamGenerate", one_stream(interrupted("Wrong"), unseen))
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream.text)

    assert list(stream.text) == ["Hello."]


def test_each_restart_raises(fake: FakeGateway, ai: AIManager) -> None:
    again = interrupted("X")[1:]
    fake.respond("StreamGenerate", one_stream(interrupted("W"), again, again, restarted(RESPONSE, "Hello.")))
    stream = ai.stream("Hi")
    for _ in range(2):
        with pytest.raises(StreamInterruptedError):
            list(stream.text)

    assert stream.response.content == "Hello."


def test_failed_restart_has_no_response(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [FAILED]))
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError, match="is being restarted"):
        list(stream.text)

    for _ in range(2):
        with pytest.raises(StreamInterruptedError, match="All targets failed") as raised:
            _ = stream.response

    assert raised.value.usage is not None
    assert raised.value.usage.output_tokens == 20


def test_leaving_the_block_after_a_restart_cancels_the_call(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [Hang()]))

    with ai.stream("Hi") as stream:
        with pytest.raises(StreamInterruptedError):
            list(stream.text)
        assert not fake.call_ended.is_set()

    assert fake.call_ended.wait(10)
    with pytest.raises(StreamInterruptedError, match="is being restarted"):
        _ = stream.response
    with pytest.raises(RuntimeError, match="once"):
        list(stream)


def test_dropped_stream_cancels_its_call(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [Hang()]))

    def read_and_drop() -> None:
        with suppress(StreamInterruptedError):
            list(ai.stream("Hi").text)

    read_and_drop()

    assert fake.call_ended.wait(10)


def test_complete_sends_an_unread_stream(ai: AIManager) -> None:
    stream = ai.stream("Hi")

    assert isinstance(stream.complete(), AIResponse)
    assert stream.complete().content == stream.response.content == "Hello."


@pytest.mark.usefixtures("restarting")
def test_complete_reads_past_a_restart(ai: AIManager) -> None:
    assert ai.stream("Hi").complete().content == "Hello."


def test_complete_after_an_early_exit_raises(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    for _ in stream:
        break

    with pytest.raises(RuntimeError, match="once"):
        stream.complete()


@pytest.mark.usefixtures("restarting")
def test_restart_without_attempts_raises(fake: FakeGateway, ai: AIManager) -> None:
    bare = Event(restarted=generation_pb2.StreamRestarted())
    fake.respond("StreamGenerate", [*stream_events(make_response(), "W")[:2], bare])

    with pytest.raises(StreamInterruptedError) as raised:
        list(ai.stream("Hi"))

    assert (raised.value.provider, raised.value.attempts, raised.value.usage) == ("", (), None)


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, generation_pb2.INTERRUPTION_POLICY_RESTART),
        ({"on_interruption": "restart"}, generation_pb2.INTERRUPTION_POLICY_RESTART),
        ({"on_interruption": "fail"}, generation_pb2.INTERRUPTION_POLICY_FAIL),
    ],
)
def test_restart_is_the_default_policy(
    fake: FakeGateway, ai: AIManager, options: dict[str, str], policy: generation_pb2.InterruptionPolicy
) -> None:
    list(ai.stream("Hi", **options))  # type: ignore[call-overload]

    assert fake.received[0].request.on_interruption == policy


@pytest.mark.parametrize("policy", ["", "again", None])
def test_unknown_policy_is_rejected(ai: AIManager, policy: str) -> None:
    with pytest.raises(InvalidRequestError, match="on_interruption must be one of fail, restart, got"):
        ai.stream("Hi", on_interruption=policy)  # type: ignore[call-overload]


def test_misspelled_policy_suggests_the_closest(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="Did you mean 'on_interruption'"):
        ai.stream("Hi", on_interuption="fail")  # type: ignore[call-overload]


def test_tool_call_after_a_restart_is_a_piece(fake: FakeGateway, ai: AIManager) -> None:
    call = content_pb2.Part(tool_call=content_pb2.ToolCall(id="1", name="weather"))
    done = Event(part_completed=generation_pb2.PartCompleted(index=0, part=call))
    fake.respond("StreamGenerate", one_stream(interrupted("W"), [done, Event(completed=RESPONSE)]))
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream)

    assert [len(piece.tool_calls) for piece in stream] == [1, 0]
