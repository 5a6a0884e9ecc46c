"""Streams of the Gemini API."""

from __future__ import annotations

import json

import pytest

from aimanager_server.core.content import Attachment, Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.gemini import gemini_wire, read_stream, response, usage_metadata
from tests.support.wire_cases import completed_parts, finished_event, sse

END = response(finish="STOP", **usage_metadata(prompt=1, candidates=1))


def test_signature_completes_its_text_part() -> None:
    events = read_stream(
        sse(
            response({"text": "a"}),
            response({"text": "b", "thoughtSignature": "S1"}),
            response({"text": "c"}),
            response({"text": "", "thoughtSignature": "S2"}),
            response({"text": "", "thoughtSignature": "S3"}),
            END,
        )
    )

    assert completed_parts(events) == (Text("ab", b"S1"), Text("c", b"S2"), Text("", b"S3"))


def test_signed_parts_of_an_unstreamed_response_stay_separate() -> None:
    body = response({"text": "a"}, {"text": "b"}, {"text": "c", "thoughtSignature": "S"}, {"text": "d"}, finish="STOP")

    assert completed_parts(gemini_wire().decode(json.dumps(body).encode())) == (Text("ab"), Text("c", b"S"), Text("d"))


def test_reasoning_and_text_alternate() -> None:
    events = read_stream(
        sse(
            response({"text": "hm", "thought": True}, {"text": "a"}, {"text": "", "thought": True}),
            response({"text": "b", "thought": False}, {"text": "hm!", "thought": True}, {"thoughtSignature": "S"}),
            END,
        )
    )

    assert completed_parts(events) == (Reasoning("hm"), Text("a"), Text("b"), Reasoning("hm!"), Text("", b"S"))


def test_later_counts_replace_earlier_ones() -> None:
    events = read_stream(
        sse(
            response({"text": "a"}, **usage_metadata(prompt=9, thoughts=4)),
            response(**usage_metadata(prompt=10, candidates=2)),
            response(finish="STOP", usageMetadata={"candidatesTokenCount": 3, "thoughtsTokenCount": None}),
        )
    )

    assert finished_event(events).usage == Usage(10, 7, 0, 0, 4, UsageSource.REPORTED)


def test_usage_may_follow_the_finish_reason() -> None:
    events = read_stream(sse(response({"text": "a"}, finish="STOP"), usage_metadata(prompt=3, candidates=1)))

    assert finished_event(events).usage.input_tokens == 3


def test_usage_is_available_before_the_stream_ends() -> None:
    reader = gemini_wire().stream_reader()
    reader.feed(sse(response({"text": "a"}, **usage_metadata(prompt=25, candidates=1))))

    assert reader.usage == Usage(25, 1, source=UsageSource.REPORTED)


def test_zero_usage_is_missing() -> None:
    assert (
        finished_event(read_stream(sse(response(finish="STOP", **usage_metadata(prompt=0, candidates=0))))).usage
        == Usage()
    )


@pytest.mark.parametrize(
    ("provider_reason", "reason"),
    [
        ("OTHER", FinishReason.OTHER),
        ("SOMETHING_NEW", FinishReason.OTHER),
        ("SPII", FinishReason.CONTENT_FILTER),
        ("LANGUAGE", FinishReason.CONTENT_FILTER),
        ("BLOCKLIST", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
        ("MODEL_ARMOR", FinishReason.CONTENT_FILTER),
        ("FUNCTION_CALL", FinishReason.STOP),
    ],
)
def test_finish_reason_is_kept(provider_reason: str, reason: FinishReason) -> None:
    last = finished_event(read_stream(sse(response({"text": "a"}, finish=provider_reason))))

    assert (last.reason, last.provider_reason) == (reason, provider_reason)


def test_known_finish_reason_may_be_in_lower_case() -> None:
    last = finished_event(read_stream(sse(response({"text": "a"}, finish="max_tokens"))))

    assert (last.reason, last.provider_reason) == (FinishReason.MAX_TOKENS, "MAX_TOKENS")


def test_unspecified_finish_reason_is_ignored() -> None:
    events = read_stream(sse(response({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED"), response({"text": "b"}), END))

    assert completed_parts(events) == (Text("ab"),)


def test_unstreamed_response_needs_no_finish_reason() -> None:
    last = finished_event(gemini_wire().decode(json.dumps(response({"text": "a"})).encode()))

    assert (last.reason, last.provider_reason) == (FinishReason.STOP, "")


@pytest.mark.parametrize("reason", ["STOP", "FUNCTION_CALL"])
def test_tool_calls_determine_the_finish_reason(reason: str) -> None:
    call = {"functionCall": {"name": "f", "args": {}}}

    assert finished_event(read_stream(sse(response(call, finish=reason)))).reason is FinishReason.TOOL_CALLS


def test_unknown_chunks_and_parts_are_ignored() -> None:
    events = read_stream(
        b"\xef\xbb\xbf: comment\n\nevent: x\ndata:\n\n",
        sse(
            {"candidates": "none"},
            {"candidates": [{"content": None}, 3]},
            [],
            "null",
            response({"hologram": {"data": "?"}, "thoughtSignature": "S"}, {"text": None}, {"text": "Hi"}),
            response({"inlineData": {"data": "?"}}, {"functionCall": "f"}),
            "[DONE]",
            END,
        ),
    )

    assert completed_parts(events) == (Text("Hi"),)


def test_inline_file_without_a_type_is_binary() -> None:
    events = read_stream(sse(response({"inlineData": {"data": "aGk="}}), END))

    assert completed_parts(events) == (Attachment("application/octet-stream", data=b"hi"),)


@pytest.mark.parametrize(("args", "arguments_json"), [(None, "{}"), ({}, "{}"), ([1], "[1]"), ("x", '"x"')])
def test_tool_arguments_are_encoded_as_json(args: object, arguments_json: str) -> None:
    (call,) = completed_parts(read_stream(sse(response({"functionCall": {"id": "a", "name": "f", "args": args}}), END)))

    assert call == ToolCall("a", "f", arguments_json)


def test_chunk_in_a_list_is_read() -> None:
    assert completed_parts(read_stream(sse(json.dumps([response({"text": "a"})]), END))) == (Text("a"),)


def test_data_after_the_completion_is_ignored() -> None:
    reader = gemini_wire().stream_reader()

    events = reader.feed(sse(response({"text": "a"}), END, "[DONE]", response({"text": "late"})))

    assert completed_parts(events) == (Text("a"),)
    assert reader.feed(sse("garbage")) == []
    assert reader.end() == []


def test_last_event_may_lack_its_blank_line() -> None:
    assert finished_event(read_stream(sse(response({"text": "a"}), END).rstrip(b"\n"))).reason is FinishReason.STOP


def test_truncated_usage_after_the_finish_reason_is_missing() -> None:
    events = read_stream(sse(response({"text": "a"}, finish="STOP")), b'data: {"usageMeta')

    assert completed_parts(events) == (Text("a"),)
    assert finished_event(events).usage.source is UsageSource.MISSING


def test_event_that_is_not_json_is_a_protocol_error() -> None:
    with pytest.raises(ProviderProtocolError, match="not JSON"):
        gemini_wire().stream_reader().feed(sse("{broken"))


def test_surrogate_pair_split_across_events_is_joined() -> None:
    events = read_stream(
        b'data: {"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":"\\ude00"}]},"finishReason":"STOP"}]}\n\n',
    )

    assert completed_parts(events) == (Text("😀"),)
