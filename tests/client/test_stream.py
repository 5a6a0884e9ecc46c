"""Streams: pieces, text, events, the response, interruption and early exit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import grpc
import pytest

from aimanager import (
    AIConfig,
    AIManager,
    ConfigurationError,
    Part,
    RateLimitError,
    StreamInterruptedError,
)
from aimanager.options import RequestOptions
from aimanager.v1 import content_pb2, generation_pb2, usage_pb2
from tests.support.fake_gateway.messages import error_status, make_response, stream_events
from tests.support.fake_gateway.server import ErrorStatus, FakeGateway, Hang

Event = generation_pb2.StreamGenerateResponse
USAGE = usage_pb2.Usage(output_tokens=9, source=usage_pb2.USAGE_SOURCE_ESTIMATED)
INTERRUPTED = error_status(grpc.StatusCode.ABORTED, "STREAM_INTERRUPTED", "Stream interrupted.", details=[USAGE])
RATE_LIMIT = error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.001)


def test_last_piece_has_usage_cost_and_finish_reason(ai: AIManager) -> None:
    pieces = list(ai.stream("Hi"))

    assert [piece.content for piece in pieces] == ["Hel", "lo.", ""]
    assert pieces[0].metadata.provider == pieces[-1].metadata.provider == "mock"
    assert pieces[0].usage.source == "missing"
    assert pieces[-1].usage.total_tokens == 5
    assert pieces[-1].cost == Decimal("0.0025")
    assert pieces[-1].finish_reason == "stop"


def test_response_is_whole_at_the_end(ai: AIManager) -> None:
    stream = ai.stream("Hi")

    text = "".join(stream.text)

    assert text == stream.response.content == "Hello."
    assert stream.response.usage.total_tokens == 5


def test_events_are_typed(fake: FakeGateway, ai: AIManager) -> None:
    heartbeat = Event(heartbeat=generation_pb2.Heartbeat())
    unknown = Event(sequence=7)
    fake.respond("StreamGenerate", [heartbeat, unknown, *stream_events(make_response(), "Hello.")])

    kinds = [type(event).__name__ for event in ai.stream("Hi").events]

    assert kinds == ["Heartbeat", "StreamStarted", "PartDelta", "PartCompleted", "AIResponse"]


def test_reasoning_and_tool_calls_are_pieces(fake: FakeGateway, ai: AIManager) -> None:
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json="{}")
    delta = generation_pb2.PartDelta
    fake.respond(
        "StreamGenerate",
        [
            Event(started=generation_pb2.StreamStarted(id="1")),
            Event(delta=delta(index=0, reasoning="Hm.")),
            Event(delta=delta(index=1, tool_call=call)),
            Event(delta=delta(index=2)),
            Event(
                part_completed=generation_pb2.PartCompleted(
                    index=0, part=Part(reasoning=content_pb2.Reasoning(text="Hm."))
                )
            ),
            Event(part_completed=generation_pb2.PartCompleted(index=1, part=Part(tool_call=call))),
            Event(completed=make_response()),
        ],
    )

    pieces = list(ai.stream("Hi"))

    assert [piece.reasoning for piece in pieces] == ["Hm.", "", ""]
    assert [len(piece.tool_calls) for piece in pieces] == [0, 1, 0]


def test_part_without_deltas_is_a_piece(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond(
        "StreamGenerate",
        [
            stream_events(make_response("Hello."))[0],
            Event(part_completed=generation_pb2.PartCompleted(index=0, part=Part(text="Hello."))),
            Event(completed=make_response()),
        ],
    )

    assert list(ai.stream("Hi").text) == ["Hello."]


def test_response_before_the_end_raises(ai: AIManager) -> None:
    stream = ai.stream("Hi")

    with pytest.raises(RuntimeError, match="not ended"):
        _ = stream.response


def test_stream_can_be_read_once(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    list(stream)

    with pytest.raises(RuntimeError, match="once"):
        list(stream.text)


def test_nothing_is_sent_before_the_first_read(fake: FakeGateway, ai: AIManager) -> None:
    with ai.stream("Hi"):
        pass

    assert not fake.received


def test_interruption_raises_with_usage(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hel", "lo.")[:2], INTERRUPTED])
    stream = ai.stream("Hi")
    texts: list[str] = []

    with pytest.raises(StreamInterruptedError, match="Stream interrupted") as raised:
        texts.extend(stream.text)

    assert texts == ["Hel"]
    assert raised.value.usage is not None
    assert raised.value.usage.output_tokens == 9
    with pytest.raises(StreamInterruptedError):
        _ = stream.response


def test_stream_without_completion_event_is_interrupted(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", stream_events(make_response(), "Hello.")[:-1])

    with pytest.raises(StreamInterruptedError, match="ended without a completion event"):
        list(ai.stream("Hi"))


def test_empty_stream_is_interrupted(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", [])

    with pytest.raises(StreamInterruptedError):
        list(ai.stream("Hi"))


def leave_the_loop(ai: AIManager) -> None:
    for _ in ai.stream("Hi"):
        break


def leave_the_block(ai: AIManager) -> None:
    with ai.stream("Hi") as stream:
        next(iter(stream))


def leave_the_text(ai: AIManager) -> None:
    for _ in ai.stream("Hi").text:
        break


@pytest.mark.parametrize("leave", [leave_the_loop, leave_the_block, leave_the_text])
def test_early_exit_cancels_the_call(fake: FakeGateway, ai: AIManager, leave: Callable[[AIManager], None]) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hello.")[:2], Hang()])

    leave(ai)

    assert fake.call_ended.wait(10)


def test_rate_limit_before_the_first_event_is_retried(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", RATE_LIMIT, stream_events(make_response(), "Hello."))

    assert "".join(ai.stream("Hi").text) == "Hello."
    assert len(fake.received) == 2


def test_rate_limit_after_the_first_event_is_raised(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hello.")[:2], RATE_LIMIT])

    with pytest.raises(RateLimitError):
        list(ai.stream("Hi"))

    assert len(fake.received) == 1


def test_stream_has_a_timeout_of_1200_seconds(fake: FakeGateway, ai: AIManager) -> None:
    list(ai.stream("Hi"))

    assert 1190 < fake.received[0].timeout < 1220
    assert not fake.received[0].request.request.idempotency_key


@pytest.mark.parametrize(("options", "expected"), [({}, True), ({"extract_artifacts": False}, False)])
def test_artifacts_are_requested_by_default(
    fake: FakeGateway, ai: AIManager, options: RequestOptions, expected: bool
) -> None:
    list(ai.stream("Hi", **options))

    assert fake.received[0].request.request.extract_artifacts is expected


def test_config_disables_streaming(fake: FakeGateway) -> None:
    config = AIConfig(enable_streaming=False)

    with AIManager("", "mock", config=config) as ai, pytest.raises(ConfigurationError, match="enable_streaming"):
        ai.stream("Hi")


LOST = ErrorStatus(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_gateway_that_dies_during_a_stream_interrupts_it(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("StreamGenerate", [*stream_events(make_response(), "Hel", "lo.")[:2], LOST])
    stream = ai.stream("Hi")

    with pytest.raises(StreamInterruptedError, match="connection to the gateway was lost") as raised:
        list(stream.text)

    assert isinstance(raised.value.original_error, grpc.RpcError)
    assert (stream.partial.content, stream.partial.finish_reason) == ("Hel", "")
    with pytest.raises(StreamInterruptedError):
        _ = stream.response


def test_partial_response_is_readable_after_an_early_exit(fake: FakeGateway, ai: AIManager) -> None:
    delta = generation_pb2.PartDelta
    call = content_pb2.ToolCall(id="1", name="weather", arguments_json="{}")
    fake.respond(
        "StreamGenerate",
        [
            stream_events(make_response())[0],
            Event(delta=delta(index=0, reasoning="Hm.")),
            Event(delta=delta(index=1, text="One, ")),
            Event(part_completed=generation_pb2.PartCompleted(index=1, part=Part(text="One, two."))),
            Event(delta=delta(index=2, tool_call=call)),
            Event(delta=delta(index=3, text=" Three")),
            Event(completed=make_response()),
        ],
    )
    stream = ai.stream("Hi")
    before = stream.partial

    for piece in stream:
        if "Three" in piece.content:
            break

    assert before.content == ""
    assert (stream.partial.content, stream.partial.reasoning) == ("One, two. Three", "Hm.")
    assert stream.partial.metadata.model == "mock-large"
    with pytest.raises(RuntimeError, match="partial"):
        _ = stream.response


def test_partial_response_is_whole_at_the_end(ai: AIManager) -> None:
    stream = ai.stream("Hi")
    list(stream)

    assert stream.partial is stream.response
    assert repr(stream) == "AIStream(AIResponse(provider='mock', model='mock-large', content='Hello.'))"
