"""What servers of the chat-completions wire answer, whole and streamed."""

from __future__ import annotations

import json

import pytest

from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import (
    GatewayError,
    ProviderInternalError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRateLimited,
)
from aimanager_server.core.response import FinishReason, PartCompleted, TextDelta
from tests.support.chat_completions import dialect, finished_of, fixture, parts_of, read_all
from tests.support.chat_completions_answers import ANSWERS, STREAMED, WHOLE, body, chunk

FAULTS: dict[str, type[GatewayError]] = {
    "chat_completions/error_first": ProviderRateLimited,
    "chat_completions/error_later": ProviderInternalError,
    "chat_completions/cut": ProviderProtocolError,
    "deepseek/no_resource": ProviderOverloaded,
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer_is_read(name: str) -> None:
    events = dialect().decode(fixture(f"{name}.json"))

    assert (parts_of(events), finished_of(events).reason) == ANSWERS[name]


@pytest.mark.parametrize("name", STREAMED)
def test_a_streamed_answer_is_read(name: str) -> None:
    events = read_all(fixture(f"{name}.sse"))

    assert (parts_of(events), finished_of(events).reason) == ANSWERS[name]


@pytest.mark.parametrize("name", [name for name in WHOLE if name in STREAMED])
def test_an_answer_means_the_same_whole_and_streamed(name: str) -> None:
    whole, streamed = dialect().decode(fixture(f"{name}.json")), read_all(fixture(f"{name}.sse"))

    assert (parts_of(whole), finished_of(whole)) == (parts_of(streamed), finished_of(streamed))


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_inside_a_stream_is_raised(name: str) -> None:
    with pytest.raises(FAULTS[name]):
        read_all(fixture(f"{name}.sse"))


def test_fragments_of_one_read_are_one_event() -> None:
    stream = fixture("openai/text.sse")

    events = dialect().reader().feed(stream)

    assert [type(event) for event in events[:2]] == [TextDelta, PartCompleted]


def test_reasoning_between_texts_makes_parts_in_that_order() -> None:
    events = read_all(
        b"".join(
            (chunk(reasoning="a"), chunk(content="b"), chunk(reasoning="c"), chunk(content="d"), b"data: [DONE]\n\n")
        )
    )

    assert parts_of(events) == (Reasoning("a"), Text("b"), Reasoning("c"), Text("d"))


@pytest.mark.parametrize(
    ("raw", "reason"),
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
def test_every_finish_reason_has_a_word_of_ours(raw: str | None, reason: FinishReason) -> None:
    finished = finished_of(dialect().decode(body({"content": "Hi"}, raw)))

    assert (finished.reason, finished.provider_reason) == (reason, raw or "")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("error", ProviderInternalError),
        ("abort", ProviderInternalError),
        ("insufficient_system_resource", ProviderOverloaded),
    ],
)
def test_an_end_that_is_a_failure_is_raised(raw: str, kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        dialect().decode(body({"content": "Hi"}, raw))


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
def test_a_body_that_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        dialect().decode(raw)


@pytest.mark.parametrize("raw", [b'{"error":{"message":"No."}}', b'{"object":"error","message":"No."}'])
def test_an_error_in_a_body_is_raised(raw: bytes) -> None:
    with pytest.raises(ProviderInternalError, match="No"):
        dialect().decode(raw)


def test_other_choices_than_the_first_are_passed_over() -> None:
    raw = json.dumps({"choices": [{"index": index, "message": {"content": str(index)}} for index in (1, 0)]}).encode()

    assert parts_of(dialect().decode(raw)) == (Text("0"),)


def test_fields_of_unknown_shape_are_passed_over() -> None:
    strange = {
        "content": ["x", {"type": "image"}, {"thinking": [1, {"text": 2}]}],
        "refusal": 1,
        "tool_calls": ["x", {}],
    }

    events = dialect().decode(body({**strange, "reasoning": {"a": 1}}))

    assert [type(part) for part in parts_of(events)] == [ToolCall]


@pytest.mark.parametrize("raw", [b"data: 1\n\n", b"data: \n\n", b'data: {"choices":[{"delta":null}]}\n\n'])
def test_events_that_say_nothing_are_passed_over(raw: bytes) -> None:
    assert dialect().reader().feed(raw) == []


def test_an_event_that_is_not_json_is_refused() -> None:
    with pytest.raises(ProviderProtocolError, match="not JSON"):
        dialect().reader().feed(b"data: {oops}\n\n")


def test_a_stream_of_nothing_but_its_end_is_refused() -> None:
    with pytest.raises(ProviderProtocolError, match="without an answer"):
        dialect().reader().feed(b"data: [DONE]\n\n")


def test_a_finish_reason_without_content_is_an_empty_answer() -> None:
    events = read_all(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')

    assert (parts_of(events), finished_of(events).reason) == ((), FinishReason.STOP)


def test_a_finished_reader_hears_nothing_more() -> None:
    stream = fixture("openai/text.sse")
    reader = dialect().reader()
    reader.feed(stream)

    assert (reader.feed(stream), reader.end()) == ([], [])


def test_an_end_without_a_blank_line_still_ends_the_answer() -> None:
    assert finished_of(read_all(chunk(content="Hi") + b"data: [DONE]")).reason is FinishReason.STOP


def test_bytes_that_are_not_utf8_become_a_replacement() -> None:
    raw = chunk(content="x").replace(b"x", b"caf\xc3") + b"data: [DONE]\n\n"

    assert parts_of(read_all(raw)) == (Text("caf\ufffd"),)


def test_a_surrogate_pair_split_over_two_chunks_is_one_sign() -> None:
    raw = chunk(content="\ud83d") + chunk(content="\ude00") + b"data: [DONE]\n\n"

    assert parts_of(read_all(raw)) == (Text("😀"),)
