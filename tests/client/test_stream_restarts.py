"""A stream whose answer begins again: what its readers are told, and what becomes of the call."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import grpc
import pytest

from aimanager import AIManager, AIResponse, InvalidRequestError, Restarted, StreamInterruptedError
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.restarts import begun_again, cut, numbered
from tests.support.fake_gateway.server import FakeGateway, Silence, answer, events, refusal

Event = generation_pb2.StreamGenerateResponse
WHOLE = answer("Hello.")
USAGE = usage_pb2.Usage(output_tokens=20, source=usage_pb2.USAGE_SOURCE_ESTIMATED)
GAVE_UP = refusal(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "Nobody is left.", details=[USAGE])


@pytest.fixture
def restarting(fake: FakeGateway) -> FakeGateway:
    """Says Wr, begins again, and says Hello."""
    fake.will("StreamGenerate", numbered(cut("W", "r"), begun_again(WHOLE, "Hel", "lo.")))
    return fake


@pytest.mark.usefixtures("restarting")
def test_events_go_on_after_a_restart(ai: AIManager) -> None:
    seen = list(ai.stream("Hi").events)

    names = [type(event).__name__ for event in seen]
    restart = seen[3]
    assert names == [
        *("StreamStarted", "PartDelta", "PartDelta", "Restarted"),
        *("PartDelta", "PartDelta", "PartCompleted", "AIResponse"),
    ]
    assert isinstance(restart, Restarted)
    assert (restart.provider, restart.model, restart.route.requested_model) == ("mock", "mock-large", "mock/latest")
    assert [attempt.error_reason for attempt in restart.attempts] == ["PROVIDER_TIMEOUT"]


@pytest.mark.usefixtures("restarting")
def test_text_raises_at_a_restart_and_says_why(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    said: list[str] = []

    with pytest.raises(StreamInterruptedError, match="begins again") as raised:
        said.extend(stream.text)

    error = raised.value
    assert said == ["W", "r"]
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
def test_the_response_after_a_restart_is_the_whole_new_answer(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream.text)

    assert stream.response.content == "Hello."
    assert stream.response == stream.complete()


@pytest.mark.usefixtures("restarting")
def test_reading_once_more_shows_the_new_answer_as_it_comes(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream.text)

    pieces = list(stream)

    assert [piece.content for piece in pieces] == ["Hel", "lo.", ""]
    assert [piece.metadata.model for piece in pieces] == ["mock-large"] * 3
    with pytest.raises(RuntimeError, match="once"):
        list(stream.text)


def test_a_part_previewed_before_a_restart_is_not_previewed_after_it(fake: FakeGateway, ai: AIManager) -> None:
    unseen = begun_again(WHOLE, "Hello.")[1:]
    fake.will("StreamGenerate", numbered(cut("Wrong"), unseen))
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream.text)

    assert list(stream.text) == ["Hello."]


def test_each_restart_is_told(fake: FakeGateway, ai: AIManager) -> None:
    again = cut("X")[1:]
    fake.will("StreamGenerate", numbered(cut("W"), again, again, begun_again(WHOLE, "Hello.")))
    stream = ai.stream("Hi")
    for _ in range(2):
        with pytest.raises(StreamInterruptedError):
            list(stream.text)

    assert stream.response.content == "Hello."


def test_an_answer_that_fails_after_a_restart_has_no_response(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("StreamGenerate", numbered(cut("W"), [GAVE_UP]))
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError, match="begins again"):
        list(stream.text)

    for _ in range(2):
        with pytest.raises(StreamInterruptedError, match="Nobody is left") as raised:
            _ = stream.response

    assert raised.value.usage is not None
    assert raised.value.usage.output_tokens == 20


def test_leaving_the_block_after_a_restart_cancels_the_call(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("StreamGenerate", numbered(cut("W"), [Silence()]))

    with ai.stream("Hi") as stream:
        with pytest.raises(StreamInterruptedError):
            list(stream.text)
        assert not fake.ended.is_set()

    assert fake.ended.wait(10)
    with pytest.raises(StreamInterruptedError, match="begins again"):
        _ = stream.response
    with pytest.raises(RuntimeError, match="once"):
        list(stream)


def test_a_stream_dropped_after_a_restart_ends_its_call(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("StreamGenerate", numbered(cut("W"), [Silence()]))

    def read_and_drop() -> None:
        with suppress(StreamInterruptedError):
            list(ai.stream("Hi").text)

    read_and_drop()

    assert fake.ended.wait(10)


def test_complete_is_the_whole_answer_without_reading(ai: AIManager) -> None:
    stream = ai.stream("Hi")

    assert isinstance(stream.complete(), AIResponse)
    assert stream.complete().content == stream.response.content == "Hello."


@pytest.mark.usefixtures("restarting")
def test_complete_reads_over_a_restart(ai: AIManager) -> None:
    assert ai.stream("Hi").complete().content == "Hello."


def test_complete_after_leaving_early_says_so(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    for _ in stream:
        break

    with pytest.raises(RuntimeError, match="once"):
        stream.complete()


@pytest.mark.usefixtures("restarting")
def test_a_restart_that_names_nobody_is_still_told(fake: FakeGateway, ai: AIManager) -> None:
    bare = Event(restarted=generation_pb2.StreamRestarted())
    fake.will("StreamGenerate", [*events(answer(), "W")[:2], bare])

    with pytest.raises(StreamInterruptedError) as raised:
        list(ai.stream("Hi"))

    assert (raised.value.provider, raised.value.attempts, raised.value.usage) == ("", (), None)


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ({}, generation_pb2.INTERRUPTION_POLICY_RESTART),
        ({"on_interruption": "restart"}, generation_pb2.INTERRUPTION_POLICY_RESTART),
        ({"on_interruption": "fail"}, generation_pb2.INTERRUPTION_POLICY_FAIL),
    ],
)
def test_a_restart_is_asked_for_unless_refused(
    fake: FakeGateway, ai: AIManager, said: dict[str, str], policy: generation_pb2.InterruptionPolicy
) -> None:
    list(ai.stream("Hi", **said))  # type: ignore[arg-type]

    assert fake.received[0].request.on_interruption == policy


@pytest.mark.parametrize("policy", ["", "again", None])
def test_another_policy_is_refused(ai: AIManager, policy: str) -> None:
    with pytest.raises(InvalidRequestError, match="on_interruption cannot be") as refused:
        ai.stream("Hi", on_interruption=policy)  # type: ignore[arg-type]

    assert refused.value.solution == "Use one of fail, restart."


def test_a_misspelt_policy_names_the_right_one(ai: AIManager) -> None:
    with pytest.raises(TypeError, match="Did you mean 'on_interruption'"):
        ai.stream("Hi", on_interuption="fail")  # type: ignore[call-arg]


def test_a_tool_call_is_a_piece_after_a_restart(fake: FakeGateway, ai: AIManager) -> None:
    call = content_pb2.Part(tool_call=content_pb2.ToolCall(id="1", name="weather"))
    done = Event(part_completed=generation_pb2.PartCompleted(index=0, part=call))
    fake.will("StreamGenerate", numbered(cut("W"), [done, Event(completed=WHOLE)]))
    stream = ai.stream("Hi")
    with pytest.raises(StreamInterruptedError):
        list(stream)

    assert [len(piece.tool_calls) for piece in stream] == [1, 0]
