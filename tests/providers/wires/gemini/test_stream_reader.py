"""What Gemini's streams may hold beside what is expected."""

from __future__ import annotations

import json

import pytest

from aimanager_server.core.content import Attachment, Reasoning, Text, ToolCall
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.response import FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.gemini import completed, finished, gemini, response, sse, streamed, usage

END = response(finish="STOP", **usage(prompt=1, candidates=1))


def test_text_is_joined_until_a_signature_ends_its_part() -> None:
    events = streamed(
        sse(
            response({"text": "a"}),
            response({"text": "b", "thoughtSignature": "S1"}),
            response({"text": "c"}),
            response({"text": "", "thoughtSignature": "S2"}),
            response({"text": "", "thoughtSignature": "S3"}),
            END,
        )
    )

    assert completed(events) == [Text("ab", b"S1"), Text("c", b"S2"), Text("", b"S3")]


def test_signed_parts_of_a_whole_answer_are_not_joined_to_others() -> None:
    body = response({"text": "a"}, {"text": "b"}, {"text": "c", "thoughtSignature": "S"}, {"text": "d"}, finish="STOP")

    assert completed(gemini().decode(json.dumps(body).encode())) == [Text("ab"), Text("c", b"S"), Text("d")]


def test_thoughts_and_text_take_turns() -> None:
    events = streamed(
        sse(
            response({"text": "hm", "thought": True}, {"text": "a"}, {"text": "", "thought": True}),
            response({"text": "b", "thought": False}, {"text": "hm!", "thought": True}, {"thoughtSignature": "S"}),
            END,
        )
    )

    assert completed(events) == [Reasoning("hm"), Text("a"), Text("b"), Reasoning("hm!"), Text("", b"S")]


def test_the_last_counts_stand_field_by_field() -> None:
    events = streamed(
        sse(
            response({"text": "a"}, **usage(prompt=9, thoughts=4)),
            response(**usage(prompt=10, candidates=2)),
            response(finish="STOP", usageMetadata={"candidatesTokenCount": 3, "thoughtsTokenCount": None}),
        )
    )

    assert finished(events).usage == Usage(10, 7, 0, 0, 4, UsageSource.REPORTED)


def test_usage_may_come_after_the_finish_reason() -> None:
    events = streamed(sse(response({"text": "a"}, finish="STOP"), usage(prompt=3, candidates=1)))

    assert finished(events).usage.input_tokens == 3


def test_the_usage_so_far_can_be_read_after_a_cut() -> None:
    reader = gemini().reader()
    reader.feed(sse(response({"text": "a"}, **usage(prompt=25, candidates=1))))

    assert reader.usage == Usage(25, 1, source=UsageSource.REPORTED)


def test_a_count_nobody_made_is_missing() -> None:
    assert finished(streamed(sse(response(finish="STOP", **usage(prompt=0, candidates=0))))).usage == Usage()


@pytest.mark.parametrize(
    ("reason", "ours"),
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
def test_a_reason_that_is_rare_or_new_is_kept(reason: str, ours: FinishReason) -> None:
    last = finished(streamed(sse(response({"text": "a"}, finish=reason))))

    assert (last.reason, last.provider_reason) == (ours, reason)


def test_a_reason_that_is_not_specified_ends_nothing() -> None:
    events = streamed(sse(response({"text": "a"}, finish="FINISH_REASON_UNSPECIFIED"), response({"text": "b"}), END))

    assert completed(events) == [Text("ab")]


def test_a_whole_answer_needs_no_reason() -> None:
    last = finished(gemini().decode(json.dumps(response({"text": "a"})).encode()))

    assert (last.reason, last.provider_reason) == (FinishReason.STOP, "")


@pytest.mark.parametrize("reason", ["STOP", "FUNCTION_CALL"])
def test_calls_are_told_from_the_content(reason: str) -> None:
    call = {"functionCall": {"name": "f", "args": {}}}

    assert finished(streamed(sse(response(call, finish=reason)))).reason is FinishReason.TOOL_CALLS


def test_what_is_not_known_is_passed_over() -> None:
    events = streamed(
        b"\xef\xbb\xbf: comment\n\nevent: x\ndata:\n\n",
        sse(
            {"candidates": "none"},
            {"candidates": [{"content": None}, 3]},
            [],  # type: ignore[arg-type]  # what the test is about
            "3",
            response({"hologram": {"data": "?"}, "thoughtSignature": "S"}, {"text": 3}, {"text": "Hi"}),
            response({"inlineData": {"data": "?"}}, {"functionCall": "f"}),
            "[DONE]",
            END,
        ),
    )

    assert completed(events) == [Text("Hi")]


def test_a_file_says_at_least_its_bytes() -> None:
    events = streamed(sse(response({"inlineData": {"data": "aGk="}}), END))

    assert completed(events) == [Attachment("application/octet-stream", data=b"hi")]


@pytest.mark.parametrize(("args", "written"), [(None, "{}"), ({}, "{}"), ([1], "[1]"), ("x", '"x"')])
def test_arguments_come_as_the_model_wrote_them(args: object, written: str) -> None:
    (call,) = completed(streamed(sse(response({"functionCall": {"id": "a", "name": "f", "args": args}}), END)))

    assert call == ToolCall("a", "f", written)


def test_an_answer_in_a_list_is_read() -> None:
    assert completed(streamed(sse(json.dumps([response({"text": "a"})]), END))) == [Text("a")]


def test_what_comes_after_the_end_is_ignored() -> None:
    reader = gemini().reader()

    events = reader.feed(sse(response({"text": "a"}), END, response({"text": "late"})))

    assert completed(events) == [Text("a")]
    assert reader.feed(sse("garbage")) == []
    assert reader.end() == []


def test_an_end_without_its_blank_line_counts() -> None:
    assert finished(streamed(sse(response({"text": "a"}), END).rstrip(b"\n"))).reason is FinishReason.STOP


def test_a_finished_answer_is_kept_where_the_stream_is_cut_in_its_usage() -> None:
    events = streamed(sse(response({"text": "a"}, finish="STOP")), b'data: {"usageMeta')

    assert completed(events) == [Text("a")]
    assert finished(events).usage.source is UsageSource.MISSING


def test_an_event_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ProviderProtocolError, match="not JSON"):
        gemini().reader().feed(sse("{broken"))


def test_half_a_sign_waits_for_its_other_half() -> None:
    events = streamed(
        b'data: {"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":"\\ude00"}]},"finishReason":"STOP"}]}\n\n',
    )

    assert completed(events) == [Text("😀")]
