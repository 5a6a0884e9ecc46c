"""Tokens are counted as servers report them."""

from __future__ import annotations

import pytest

from aimanager_server.core.usage import Usage, UsageSource
from tests.support.chat_completions import dialect, finished_of, fixture, read_all
from tests.support.chat_completions_answers import body


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
def test_tokens_are_counted_inclusively(name: str, usage: tuple[int, int, int, int, int]) -> None:
    raw = fixture(name)

    events = dialect().decode(raw) if name.endswith(".json") else read_all(raw)

    assert finished_of(events).usage == Usage(*usage, UsageSource.REPORTED)


@pytest.mark.parametrize(
    "counted", [None, {}, [], {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": "x"}]
)
def test_missing_usage_is_missing_and_not_zero(counted: object) -> None:
    assert finished_of(dialect().decode(body({"content": "Hi"}, usage=counted))).usage.source is UsageSource.MISSING


def test_usage_of_a_cut_stream_is_what_was_counted_so_far() -> None:
    stream = fixture("chat_completions/cumulative_usage.sse")
    reader = dialect().reader()

    reader.feed(stream[: stream.index(b" you")])

    assert reader.usage.output_tokens == 1


def test_a_finished_answer_is_kept_where_the_stream_is_cut_in_its_usage() -> None:
    stream = fixture("openai/text.sse")
    reader = dialect().reader()

    events = [*reader.feed(stream[: stream.index(b'"choices":[],')]), *reader.end()]

    assert finished_of(events).usage.source is UsageSource.MISSING
