"""xAI's and Groq's servers."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.core.content import Effort, Message, Reasoning, ReasoningOptions, Sampling, Text
from aimanager_server.core.errors import GatewayError, PayloadTooLarge, ProviderOverloaded, ProviderRejectedRequest
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.chat_completions import (
    assistant,
    dialect,
    finished_of,
    fixture,
    parts_of,
    question,
    read_all,
    sent,
    user,
)

CATALOGUE = Catalogue.load()
QWEN, GPT_OSS = "qwen/qwen3.8-27b", "openai/gpt-oss-120b"


def ask(name: str, *turns: Message, model: str = "grok-4.7", **more: Any) -> dict[str, Any]:
    return sent(question(*turns, provider=name, model=model, **more), name)


@pytest.mark.parametrize("name", ["xai", "groq"])
def test_the_limit_counts_reasoning(name: str) -> None:
    assert ask(name, sampling=Sampling(7))["max_completion_tokens"] == 7


def test_xai_counts_reasoning_beside_the_answer() -> None:
    usage = finished_of(read_all(fixture("chat_completions/xai_stream.sse"), "xai")).usage

    assert usage == Usage(32, 9 + 94, 8, 0, 94, UsageSource.REPORTED)


@pytest.mark.parametrize(("effort", "word"), [(Effort.NONE, "none"), (Effort.XHIGH, "xhigh")])
def test_xai_is_told_every_effort(effort: Effort, word: str) -> None:
    assert ask("xai", reasoning=ReasoningOptions(effort))["reasoning_effort"] == word


def test_reasoning_of_xai_is_not_sent_back() -> None:
    said = ask("xai", user("1"), assistant(Reasoning("Hm."), "2", provider="xai"))["messages"][1]

    assert said == {"role": "assistant", "content": "2"}


@pytest.mark.parametrize(("model", "takes"), [("grok-4.7", False), ("grok-4.20-non-reasoning", True)])
def test_models_of_xai_that_think_take_no_stop_sequences(model: str, takes: bool) -> None:
    found = CATALOGUE.find("xai", model)

    assert found is not None
    assert found.sampling is not None
    assert ("stop_sequences" in found.sampling) is takes


@pytest.mark.parametrize(
    "body", [b'{"code":"invalid-argument","error":"Bad stop."}', b'{"error":{"message":"Bad stop."}}']
)
def test_both_forms_of_xais_refusals_are_read(body: bytes) -> None:
    fault = dialect("xai").error(400, {}, body)

    assert isinstance(fault, ProviderRejectedRequest)
    assert "Bad stop." in fault.message


def test_groq_counts_in_a_field_of_its_own() -> None:
    usage = finished_of(read_all(fixture("chat_completions/groq_own_usage.sse"), "groq")).usage

    assert usage == Usage(18, 5, source=UsageSource.REPORTED)


def test_the_standard_count_beats_groqs_own() -> None:
    usage = finished_of(read_all(fixture("chat_completions/groq_reasoning.sse"), "groq")).usage

    assert usage.output_tokens == 2


def test_groqs_reasoning_comes_apart_from_the_text() -> None:
    parts = parts_of(read_all(fixture("chat_completions/groq_reasoning.sse"), "groq"))

    assert parts == (Reasoning("Hm."), Text("Yes."))


def test_no_message_to_groq_has_a_name() -> None:
    body = ask("groq", user("1"), assistant("2", provider="groq"), user("3"), model=GPT_OSS, system_instruction="S")

    assert [message.keys() for message in body["messages"]] == [{"role", "content"}] * 4


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        (QWEN, None, {"reasoning_format": "parsed"}),
        (QWEN, Effort.NONE, {"reasoning_format": "parsed", "reasoning_effort": "none"}),
        (QWEN, Effort.HIGH, {"reasoning_format": "parsed", "reasoning_effort": "default"}),
        (GPT_OSS, Effort.NONE, {}),
        (GPT_OSS, Effort.MINIMAL, {"reasoning_effort": "low"}),
        (GPT_OSS, Effort.MAX, {"reasoning_effort": "high"}),
        ("other", Effort.HIGH, {}),
    ],
)
def test_models_of_groq_are_told_to_think_in_their_own_words(
    model: str, effort: Effort | None, fields: dict[str, str]
) -> None:
    body = ask("groq", model=model, reasoning=ReasoningOptions(effort))

    assert {name: value for name, value in body.items() if name.startswith("reasoning")} == fields


@pytest.mark.parametrize(
    ("status", "kind"), [(498, ProviderOverloaded), (413, PayloadTooLarge), (400, ProviderRejectedRequest)]
)
def test_groqs_refusals_go_by_their_status(status: int, kind: type[GatewayError]) -> None:
    body = b'{"error":{"message":"No.","type":"invalid_request_error","failed_generation":"<tool>"}}'

    assert type(dialect("groq").error(status, {}, body)) is kind
