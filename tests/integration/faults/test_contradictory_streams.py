"""Streams that repeat or contradict themselves: the caller gets the content once, or an error, never an OK answer."""

from __future__ import annotations

from aimanager.v1 import generation_pb2
from tests.integration.faults.fault_catalog import streams
from tests.integration.faults.gateway import SINGLE_ATTEMPT, gateway, streamed_text, text_of
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT
from tests.support.responses import delta_event, item_added, item_done, terminal_event
from tests.support.wire_cases import sse

TOOL = generation_pb2.Tool(name="look", description="Looks.")
MESSAGE = {"type": "message", "id": "msg_1", "content": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": '{"city":"Rome"}'}


def responses_upstream(*payloads: dict[str, object]) -> Upstream:
    return Upstream(streams(lambda events: (sse(*payloads), b"")), wire="responses")


def test_a_restarted_message_is_no_complete_answer() -> None:
    restarted = streams(lambda events: (*events.opening, *events.words, *events.all(), b""))

    with gateway(Upstream(restarted, wire="anthropic"), retry=SINGLE_ATTEMPT) as server:
        failure = server.stream_failure()
        unary = server.generate_failure()

    assert failure.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL")
    assert TEXT.startswith(streamed_text(failure.events))
    assert unary.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL")


def test_announced_arguments_and_repeated_events_are_delivered_once() -> None:
    announced = responses_upstream(
        item_added(0, **CALL),
        delta_event("function_call_arguments", '{"city":"Rome"}'),
        item_done(0, **CALL),
        terminal_event(),
    )
    events = [
        item_added(0, **MESSAGE, sequence_number=0),
        delta_event("output_text", "word ", sequence_number=1),
        delta_event("output_text", "word ", sequence_number=2),
    ]
    repeated = responses_upstream(*(event for event in events for _ in range(2)), terminal_event(sequence_number=3))

    with gateway(announced, repeated) as server:
        called = server.stream(announced.model, tools=[TOOL])
        texts = server.stream(repeated.model)

    (part,) = called[-1].completed.message.parts
    assert part.tool_call.arguments_json == "".join(event.delta.tool_call.arguments_json for event in called)
    assert part.tool_call.arguments_json == '{"city":"Rome"}'
    assert streamed_text(texts) == text_of(texts[-1].completed) == "word word "


def test_text_that_the_final_items_contradict_is_no_complete_answer() -> None:
    final = {**MESSAGE, "content": [{"type": "output_text", "text": "Paris"}]}
    upstream = responses_upstream(
        item_added(0, **MESSAGE),
        delta_event("output_text", "Rome"),
        terminal_event(output=[final], usage={"input_tokens": 11, "output_tokens": 2}),
    )

    with gateway(upstream, retry=SINGLE_ATTEMPT) as server:
        failure = server.stream_failure()

    assert failure.reason in ("STREAM_INTERRUPTED", "PROVIDER_PROTOCOL")
    assert "final items disagree" in failure.rpc_failure.message
