"""Conversion of results and events to protobuf: what is present although it holds only defaults."""

from __future__ import annotations

from aimanager_server.core.content import Message, Reasoning, Role, Text, ToolCall
from aimanager_server.core.response import (
    Finished,
    FinishReason,
    GenerateResult,
    PartCompleted,
    ResponseMetadata,
    TextDelta,
)
from aimanager_server.core.usage import Cost, Usage
from aimanager_server.rpc.convert.responses import (
    event_to_proto,
    generate_response_to_proto,
    stream_completed,
    stream_started,
)
from tests.support.calls import ended_record

METADATA = ResponseMetadata("", "", "", "", (ended_record("", "", "X", usage=Usage(), cost=Cost(0, 0, "")),))
EMPTY = GenerateResult(
    METADATA, Message(Role.ASSISTANT, ()), Finished(FinishReason.STOP, usage=Usage(), cost=Cost(0, 0, ""))
)


def test_submessages_are_present_even_if_every_field_has_its_default() -> None:
    response = generate_response_to_proto(EMPTY)

    attempt = response.execution.attempts[0]
    assert response.HasField("message")
    assert response.HasField("usage")
    assert response.HasField("cost")
    assert response.execution.HasField("latency")
    assert response.execution.HasField("time_to_first_token")
    assert attempt.HasField("duration")
    assert attempt.HasField("usage")
    assert attempt.HasField("cost")


def test_the_usage_of_the_successful_attempt_is_only_that_of_the_response() -> None:
    successful = ended_record("mock", "mock-large", usage=Usage(3, 2), cost=Cost(1, 2))
    metadata = ResponseMetadata("", "", "mock", "mock-large", (successful,))

    (attempt,) = stream_started(metadata).started.execution.attempts

    assert not attempt.HasField("usage")
    assert not attempt.HasField("cost")


def test_latency_of_a_stream_is_unset_until_its_completion() -> None:
    started, completed = stream_started(METADATA).started, stream_completed(EMPTY).completed

    assert started.execution.HasField("time_to_first_token")
    assert not started.execution.HasField("latency")
    assert completed.execution.HasField("latency")


def test_empty_parts_keep_their_kind() -> None:
    parts = (Text(""), Reasoning(""), ToolCall("", "", ""))

    events = [event_to_proto(PartCompleted(0, part)) for part in parts]

    kinds = [event.part_completed.part.WhichOneof("content") for event in events]
    assert kinds == ["text", "reasoning", "tool_call"]


def test_empty_delta_keeps_its_kind() -> None:
    event = event_to_proto(TextDelta(0, ""))

    assert event.WhichOneof("event") == "delta"
    assert event.delta.WhichOneof("delta") == "text"
