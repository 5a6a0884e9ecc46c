"""xAI's and Groq's quirks."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.core.content import Effort, Message, Reasoning, ReasoningOptions, Sampling, Text
from aimanager_server.core.errors import GatewayError, PayloadTooLarge, ProviderOverloaded, ProviderRejectedRequest
from aimanager_server.core.usage import Usage, UsageSource
from tests.support.chat_completions import assistant, chat_wire, make_attempt, read_stream, recorded, sent_body
from tests.support.wire_cases import completed_parts, finished_event, user

CATALOG = Catalog.load()
QWEN, GPT_OSS = "qwen/qwen3.8-27b", "openai/gpt-oss-120b"


def body_for(name: str, *turns: Message, model: str = "grok-4.7", **more: Any) -> dict[str, Any]:
    return sent_body(make_attempt(*turns, provider=name, model=model, **more), name)


@pytest.mark.parametrize("name", ["xai", "groq"])
def test_limit_is_max_completion_tokens(name: str) -> None:
    assert body_for(name, sampling=Sampling(7))["max_completion_tokens"] == 7


def test_xai_reasoning_tokens_are_added_to_the_output() -> None:
    usage = finished_event(read_stream(recorded("chat_completions/xai_stream.sse"), "xai")).usage

    assert usage == Usage(32, 9 + 94, 8, 0, 94, UsageSource.REPORTED)


@pytest.mark.parametrize(("effort", "value"), [(Effort.NONE, "none"), (Effort.XHIGH, "xhigh")])
def test_xai_gets_every_effort(effort: Effort, value: str) -> None:
    assert body_for("xai", reasoning=ReasoningOptions(effort))["reasoning_effort"] == value


def test_xai_reasoning_is_not_sent_back() -> None:
    message = body_for("xai", user("1"), assistant(Reasoning("Hm."), "2", provider="xai"))["messages"][1]

    assert message == {"role": "assistant", "content": "2"}


@pytest.mark.parametrize(("model", "accepted"), [("grok-4.7", False), ("grok-4.20-non-reasoning", True)])
def test_xai_reasoning_models_reject_stop_sequences(model: str, accepted: bool) -> None:
    found = CATALOG.find("xai", model)

    assert found is not None
    assert found.sampling_fields is not None
    assert ("stop_sequences" in found.sampling_fields) is accepted


@pytest.mark.parametrize(
    "body", [b'{"code":"invalid-argument","error":"Bad stop."}', b'{"error":{"message":"Bad stop."}}']
)
def test_xai_error_bodies_of_both_forms_are_mapped(body: bytes) -> None:
    error = chat_wire("xai").error(400, {}, body)

    assert isinstance(error, ProviderRejectedRequest)
    assert "Bad stop." in error.message


def test_groq_usage_field_is_read() -> None:
    usage = finished_event(read_stream(recorded("chat_completions/groq_own_usage.sse"), "groq")).usage

    assert usage == Usage(18, 5, source=UsageSource.REPORTED)


def test_standard_usage_overrides_the_groq_field() -> None:
    usage = finished_event(read_stream(recorded("chat_completions/groq_reasoning.sse"), "groq")).usage

    assert usage.output_tokens == 2


def test_groq_reasoning_is_separate_from_the_text() -> None:
    parts = completed_parts(read_stream(recorded("chat_completions/groq_reasoning.sse"), "groq"))

    assert parts == (Reasoning("Hm."), Text("Yes."))


def test_messages_to_groq_have_no_name() -> None:
    body = body_for(
        "groq", user("1"), assistant("2", provider="groq"), user("3"), model=GPT_OSS, system_instruction="S"
    )

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
def test_groq_effort_values_depend_on_the_model(model: str, effort: Effort | None, fields: dict[str, str]) -> None:
    body = body_for("groq", model=model, reasoning=ReasoningOptions(effort))

    assert {name: value for name, value in body.items() if name.startswith("reasoning")} == fields


@pytest.mark.parametrize(
    ("status", "error_type"), [(498, ProviderOverloaded), (413, PayloadTooLarge), (400, ProviderRejectedRequest)]
)
def test_groq_errors_are_mapped_by_status(status: int, error_type: type[GatewayError]) -> None:
    body = b'{"error":{"message":"No.","type":"invalid_request_error","failed_generation":"<tool>"}}'

    assert type(chat_wire("groq").error(status, {}, body)) is error_type
