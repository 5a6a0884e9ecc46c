"""DeepSeek's quirks."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from aimanager_server.core.content import Effort, Reasoning, ReasoningOptions, Sampling, Tool, ToolCall, ToolResult
from tests.support.chat_completions import assistant, make_attempt, sent_body
from tests.support.vendor_sdks import validated_by
from tests.support.wire_cases import user

LOOK = Tool("look", strict=True)


def body_for(*turns: Any, **more: Any) -> dict[str, Any]:
    return sent_body(make_attempt(*turns, provider="deepseek", model="deepseek-flash", **more), "deepseek")


@pytest.mark.parametrize(
    ("effort", "fields"),
    [
        (None, {}),
        (Effort.NONE, {"thinking": {"type": "disabled"}}),
        (Effort.MINIMAL, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        (Effort.LOW, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        (Effort.MEDIUM, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        (Effort.HIGH, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        (Effort.MAX, {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    ],
)
def test_thinking_is_toggled_and_has_three_levels(effort: Effort | None, fields: dict[str, Any]) -> None:
    body = body_for(reasoning=ReasoningOptions(effort))

    assert {name: body[name] for name in body.keys() & {"thinking", "reasoning_effort"}} == fields


def test_system_role_and_max_tokens_are_used() -> None:
    body = body_for(system_instruction="Be brief.", sampling=Sampling(7))

    assert (body["messages"][0]["role"], body["max_tokens"]) == ("system", 7)


@pytest.mark.parametrize("provider", ["deepseek", ""])
def test_reasoning_is_sent_back_with_its_turn(provider: str) -> None:
    turn = assistant(Reasoning("Hm."), ToolCall("a", "look", "{}"), provider=provider)

    body = body_for(user("1"), turn, user(ToolResult("a", "look", "sand")), tools=(LOOK,))

    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    }


@pytest.mark.parametrize(
    "turn", [assistant(Reasoning("Hm."), "2", provider="claude"), assistant("2", provider="deepseek")]
)
def test_reasoning_of_another_provider_is_omitted(turn: Any) -> None:
    assert "reasoning_content" not in body_for(user("1"), turn)["messages"][1]


def test_tools_are_not_marked_strict() -> None:
    assert "strict" not in body_for(tools=(LOOK,))["tools"][0]["function"]


def test_body_matches_the_openai_sdk_types() -> None:
    body = body_for(reasoning=ReasoningOptions(Effort.HIGH), tools=(LOOK,), system_instruction="Be brief.")

    shared = {name: value for name, value in body.items() if name != "thinking"}
    assert validated_by(CompletionCreateParamsNonStreaming, body) == shared
