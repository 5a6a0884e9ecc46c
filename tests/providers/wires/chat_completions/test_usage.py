"""Token usage as chat-completions servers report it."""

from __future__ import annotations

import pytest

from aimanager_server.core.usage import Usage, UsageSource
from tests.support.chat_completions import chat_wire, read_stream, recorded, response_body
from tests.support.wire_cases import finished_event


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("openai/text.json", (25, 9, 16, 4, 0)),
        ("openai/tools.sse", (80, 40, 0, 0, 12)),
        ("deepseek/reasoning.sse", (80, 30, 64, 0, 21)),
        ("chat_completions/mistral_thinking.json", (5, 8, 3, 0, 0)),
        ("chat_completions/xai.json", (10, 32, 4, 0, 30)),
        ("chat_completions/groq_reasoning.sse", (1, 2, 0, 0, 0)),
        ("chat_completions/cumulative_usage.sse", (5, 3, 0, 0, 0)),
    ],
)
def test_token_counts_are_inclusive(name: str, usage: tuple[int, int, int, int, int]) -> None:
    raw = recorded(name)

    events = chat_wire().decode(raw) if name.endswith(".json") else read_stream(raw)

    assert finished_event(events).usage == Usage(*usage, UsageSource.REPORTED)


@pytest.mark.parametrize(
    "reported",
    [None, {}, [], {"prompt_tokens": 0, "completion_tokens": 0}],
)
def test_missing_or_zero_usage_is_missing(reported: object) -> None:
    assert (
        finished_event(chat_wire().decode(response_body({"content": "Hi"}, usage=reported))).usage.source
        is UsageSource.MISSING
    )


def test_usage_is_available_before_the_stream_ends() -> None:
    stream = recorded("chat_completions/cumulative_usage.sse")
    reader = chat_wire().stream_reader()

    reader.feed(stream[: stream.index(b" you")])

    assert reader.usage.output_tokens == 1


def test_truncated_usage_after_the_finish_reason_is_missing() -> None:
    stream = recorded("openai/text.sse")
    reader = chat_wire().stream_reader()

    events = [*reader.feed(stream[: stream.index(b'"choices":[],')]), *reader.end()]

    assert finished_event(events).usage.source is UsageSource.MISSING
