"""Responses of chat-completions servers, streamed and unstreamed."""

from __future__ import annotations

import json

import pytest

from aimanager_server.core.content import Reasoning, Text
from aimanager_server.core.errors import (
    GatewayError,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRateLimited,
)
from aimanager_server.core.response import FinishReason, PartCompleted, TextDelta
from tests.support.chat_completions import (
    BODY_RECORDINGS,
    EXPECTED,
    STREAM_RECORDINGS,
    chat_wire,
    chunk,
    read_stream,
    recorded,
    response_body,
)
from tests.support.wire_cases import completed_parts, finished_event

ERRORS: dict[str, type[GatewayError]] = {
    "chat_completions/error_first": ProviderRateLimited,
    "chat_completions/error_later": ProviderInternalError,
    "chat_completions/cut": ProviderProtocolError,
    "deepseek/no_resource": ProviderOverloaded,
}


def test_recorded_responses_are_decoded() -> None:
    decoded = {name: chat_wire().decode(recorded(f"{name}.json")) for name in BODY_RECORDINGS}

    assert {name: (completed_parts(events), finished_event(events).reason) for name, events in decoded.items()} == {
        name: EXPECTED[name] for name in BODY_RECORDINGS
    }


def test_recorded_streams_are_read() -> None:
    streamed = {name: read_stream(recorded(f"{name}.sse")) for name in STREAM_RECORDINGS}

    assert {name: (completed_parts(events), finished_event(events).reason) for name, events in streamed.items()} == {
        name: EXPECTED[name] for name in STREAM_RECORDINGS
    }


@pytest.mark.parametrize("name", ERRORS)
def test_error_inside_a_stream_is_raised(name: str) -> None:
    with pytest.raises(ERRORS[name]):
        read_stream(recorded(f"{name}.sse"))


def test_fragments_of_one_read_are_merged() -> None:
    stream = recorded("openai/text.sse")

    events = chat_wire().stream_reader().feed(stream)

    assert [type(event) for event in events[:2]] == [TextDelta, PartCompleted]


def test_reasoning_between_texts_starts_new_parts() -> None:
    events = read_stream(
        b"".join(
            (chunk(reasoning="a"), chunk(content="b"), chunk(reasoning="c"), chunk(content="d"), b"data: [DONE]\n\n")
        )
    )

    assert completed_parts(events) == (Reasoning("a"), Text("b"), Reasoning("c"), Text("d"))


@pytest.mark.parametrize(
    ("provider_reason", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("eos", FinishReason.STOP),
        (None, FinishReason.STOP),
        ("tool_calls", FinishReason.STOP),
        ("length", FinishReason.MAX_TOKENS),
        ("model_length", FinishReason.CONTEXT_WINDOW),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("tomorrow", FinishReason.OTHER),
    ],
)
def test_finish_reasons_are_mapped(provider_reason: str | None, reason: FinishReason) -> None:
    finished = finished_event(chat_wire().decode(response_body({"content": "Hi"}, provider_reason)))

    assert (finished.reason, finished.provider_reason) == (reason, provider_reason or "")


@pytest.mark.parametrize(
    ("provider_reason", "error_type"),
    [
        ("error", ProviderInternalError),
        ("abort", ProviderInternalError),
        ("insufficient_system_resource", ProviderOverloaded),
    ],
)
def test_failed_finish_reason_is_raised(provider_reason: str, error_type: type[GatewayError]) -> None:
    with pytest.raises(error_type):
        chat_wire().decode(response_body({"content": "Hi"}, provider_reason))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"<html>",
        b"{",
        b"[]",
        b'"text"',
        b"{}",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":["x"]}',
        b"[" * 100_000,
    ],
)
def test_unreadable_body_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        chat_wire().decode(raw)


@pytest.mark.parametrize("raw", [b'{"error":{"message":"No."}}', b'{"object":"error","message":"No."}'])
def test_error_in_a_body_is_raised(raw: bytes) -> None:
    with pytest.raises(ProviderInternalError, match="No"):
        chat_wire().decode(raw)


def test_only_the_first_choice_is_read() -> None:
    raw = json.dumps({"choices": [{"index": index, "message": {"content": str(index)}} for index in (1, 0)]}).encode()

    assert completed_parts(chat_wire().decode(raw)) == (Text("0"),)


def test_fields_of_unknown_shape_are_ignored() -> None:
    strange = {
        "content": [{"type": "image"}, {"thinking": [1, {"text": 2}]}],
        "refusal": 1,
        "tool_calls": ["x"],
        "function_call": "x",
    }

    events = chat_wire().decode(response_body({**strange, "reasoning": {"a": 1}}))

    assert completed_parts(events) == ()


@pytest.mark.parametrize("raw", [b"data: null\n\n", b"data: \n\n", b'data: {"choices":[{"delta":null}]}\n\n'])
def test_empty_events_are_ignored(raw: bytes) -> None:
    assert chat_wire().stream_reader().feed(raw) == []


def test_event_that_is_not_json_is_a_protocol_error() -> None:
    with pytest.raises(ProviderProtocolError, match="not JSON"):
        chat_wire().stream_reader().feed(b"data: {oops}\n\n")


def test_stream_with_only_a_done_marker_is_a_protocol_error() -> None:
    with pytest.raises(ProviderProtocolError, match="without a choice"):
        chat_wire().stream_reader().feed(b"data: [DONE]\n\n")


def test_finish_reason_without_content_is_an_empty_response() -> None:
    events = read_stream(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')

    assert (completed_parts(events), finished_event(events).reason) == ((), FinishReason.STOP)


def test_finished_reader_ignores_further_data() -> None:
    stream = recorded("openai/text.sse")
    reader = chat_wire().stream_reader()
    reader.feed(stream)

    assert (reader.feed(stream), reader.end()) == ([], [])


def test_last_event_may_lack_its_blank_line() -> None:
    assert finished_event(read_stream(chunk(content="Hi") + b"data: [DONE]")).reason is FinishReason.STOP


def test_invalid_utf8_is_replaced() -> None:
    raw = chunk(content="x").replace(b"x", b"caf\xc3") + b"data: [DONE]\n\n"

    assert completed_parts(read_stream(raw)) == (Text("caf\ufffd"),)


def test_surrogate_pair_split_across_chunks_is_joined() -> None:
    raw = chunk(content="\ud83d") + chunk(content="\ude00") + b"data: [DONE]\n\n"

    assert completed_parts(read_stream(raw)) == (Text("😀"),)
