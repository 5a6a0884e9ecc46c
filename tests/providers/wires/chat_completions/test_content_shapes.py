"""Content in a shape other than the documented one is read, and content after a finish reason is content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.core.content import Part, Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import Event, FinishReason
from tests.support.chat_completions import chat_wire, read_stream
from tests.support.wire_cases import completed_parts, finished_event, sse

CALL = {"name": "look", "arguments": '{"at":1}'}


def choice(finish: Any = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, **fields, "finish_reason": finish}]}


def read(*chunks: Any) -> list[Event]:
    return read_stream(sse(*chunks, "[DONE]"))


STREAMS: dict[str, tuple[tuple[Any, ...], tuple[Part, ...]]] = {
    "a finish reason with every chunk": (
        (choice("stop", delta={"content": "The "}), choice("stop", delta={"content": "end."}), choice("stop")),
        (Text("The end."),),
    ),
    "a finish reason midway": (
        (choice(delta={"content": "The "}), choice("stop"), choice(delta={"content": "end."}), choice("stop")),
        (Text("The end."),),
    ),
    "null as a string": (
        (choice("null", delta={"content": "The "}), choice("null", delta={"content": "end."}), choice("stop")),
        (Text("The end."),),
    ),
    "message in place of delta": (
        (choice(message={"role": "assistant", "content": "The "}), choice("stop", message={"content": "end."})),
        (Text("The end."),),
    ),
    "message beside delta": (
        (
            choice(delta={"role": "assistant", "content": ""}, message={"content": ""}),
            choice(delta={"content": "The "}, message={"content": "The "}),
            choice(delta={"content": "end."}, message={"content": "The end."}),
            choice("stop", delta={"content": ""}, message={"content": "The end."}),
        ),
        (Text("The end."),),
    ),
    "the whole message after the last delta": (
        (
            choice(delta={"content": "The "}),
            choice(delta={"content": "end."}),
            choice("stop", message={"content": "The end."}),
        ),
        (Text("The end."),),
    ),
    "message after an empty delta": (
        (choice(delta={"role": "assistant"}), choice("stop", delta={}, message={"content": "The end."})),
        (Text("The end."),),
    ),
    "text": ((choice(text="The "), choice("stop", text="end.")), (Text("The end."),)),
    "delta as text": ((choice(delta="The "), choice("stop", delta="end.")), (Text("The end."),)),
    "function_call": (
        (
            choice(delta={"function_call": {"name": "look", "arguments": ""}}),
            choice(delta={"function_call": {"arguments": '{"at"'}}),
            choice("function_call", delta={"function_call": {"arguments": ":1}"}}),
        ),
        (ToolCall("", "look", '{"at":1}'),),
    ),
    "a tool call without a list": (
        (choice("stop", delta={"tool_calls": {"id": "", "function": CALL}}),),
        (ToolCall("", "look", '{"at":1}'),),
    ),
    "a tool call without a function": (
        (choice("stop", delta={"tool_calls": [CALL]}),),
        (ToolCall("", "look", '{"at":1}'),),
    ),
    "numbers": ((choice(delta={"content": 4}), choice("stop", delta={"content": 2.5})), (Text("42.5"),)),
    "an object": ((choice("stop", delta={"content": {"city": "Rome"}}),), (Text('{"city":"Rome"}'),)),
    "a text item": ((choice("stop", delta={"content": {"type": "text", "text": "Rome"}}),), (Text("Rome"),)),
    "the value of a text item": ((choice("stop", delta={"content": [{"text": {"value": "Rome"}}]}),), (Text("Rome"),)),
    "parts": ((choice("stop", delta={"content": {"parts": ["Ro", {"text": "me"}]}}),), (Text("Rome"),)),
    "a list": (
        (choice("stop", delta={"content": ["Ro", {"type": "text", "text": "me"}, 1, [2]]}),),
        (Text("Rome1[2]"),),
    ),
    "thinking": (
        (choice("stop", delta={"content": [{"thinking": ["H", {"text": "m"}]}, {"text": "Hi"}]}),),
        (Reasoning("Hm"), Text("Hi")),
    ),
    "events in a list": (
        ([choice(delta={"content": "The "}), choice("stop", delta={"content": "end."})],),
        (Text("The end."),),
    ),
    "a choice without a list": (({"choices": {"delta": {"content": "Hi"}, "finish_reason": "stop"}},), (Text("Hi"),)),
}


def without_generated_ids(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(ToolCall("", part.name, part.arguments_json) if isinstance(part, ToolCall) else part for part in parts)


@pytest.mark.parametrize(("chunks", "parts"), STREAMS.values(), ids=STREAMS)
def test_streamed_content_in_other_shapes_is_read(chunks: tuple[Any, ...], parts: tuple[Part, ...]) -> None:
    events = read(*chunks)

    assert without_generated_ids(completed_parts(events)) == parts
    assert finished_event(events).reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)


@pytest.mark.parametrize(
    ("choice_fields", "parts"),
    [
        ({"delta": {"content": "Hi"}}, (Text("Hi"),)),
        ({"text": "Hi"}, (Text("Hi"),)),
        ({"message": "Hi"}, (Text("Hi"),)),
        ({"message": {"content": 42}}, (Text("42"),)),
        ({"message": {"content": None, "function_call": CALL}}, (ToolCall("", "look", '{"at":1}'),)),
    ],
)
def test_unstreamed_content_in_other_shapes_is_read(choice_fields: Any, parts: tuple[Part, ...]) -> None:
    body = choice("stop", **choice_fields)

    for data in (body, [body]):
        events = chat_wire().decode(json.dumps(data).encode())

        assert without_generated_ids(completed_parts(events)) == parts


@pytest.mark.parametrize("other", [{"message": {"content": "end."}}, {"text": "end."}])
def test_content_in_two_fields_is_a_protocol_error(other: dict[str, Any]) -> None:
    with pytest.raises(ProviderProtocolError, match="content in 'delta' and in"):
        read(choice(delta={"content": "The "}), choice("stop", **other))


def test_the_last_finish_reason_counts() -> None:
    events = read(choice("stop", delta={"content": "The "}), choice("length", delta={"content": "end"}), choice())

    assert finished_event(events).reason is FinishReason.MAX_TOKENS


@pytest.mark.parametrize("reason", ["null", "", None])
def test_a_stream_cut_without_a_finish_reason_is_truncated(reason: str | None) -> None:
    with pytest.raises(ProviderProtocolError, match="without a finish reason"):
        read_stream(sse(choice(reason, delta={"content": "The "})))


def test_an_event_that_is_a_json_string_is_a_protocol_error() -> None:
    with pytest.raises(ProviderProtocolError, match="must be a JSON object"):
        read(json.dumps(json.dumps(choice(delta={"content": "Hi"}))))


def test_a_long_finish_reason_is_cut() -> None:
    assert len(finished_event(read(choice("x" * 5_000_000, delta={"content": "Hi"}))).provider_reason) <= 200
