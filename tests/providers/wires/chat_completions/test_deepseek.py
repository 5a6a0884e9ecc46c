"""DeepSeek's server."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from aimanager_server.core.content import Effort, Reasoning, ReasoningOptions, Sampling, Tool, ToolCall, ToolResult
from tests.support.chat_completions import assistant, question, sent, user
from tests.support.vendor_sdks import seen_by

LOOK = Tool("look", strict=True)


def ask(*turns: Any, **more: Any) -> dict[str, Any]:
    return sent(question(*turns, provider="deepseek", model="deepseek-flash", **more), "deepseek")


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
def test_thinking_is_switched_and_has_three_depths(effort: Effort | None, fields: dict[str, Any]) -> None:
    body = ask(reasoning=ReasoningOptions(effort))

    assert {name: body[name] for name in body.keys() & {"thinking", "reasoning_effort"}} == fields


def test_the_instruction_is_the_systems_and_the_limit_has_its_old_name() -> None:
    body = ask(system_instruction="Be brief.", sampling=Sampling(7))

    assert (body["messages"][0]["role"], body["max_tokens"]) == ("system", 7)


@pytest.mark.parametrize("author", ["deepseek", ""])
def test_reasoning_goes_back_with_the_turn_that_carried_it(author: str) -> None:
    turn = assistant(Reasoning("Hm."), ToolCall("a", "look", "{}"), provider=author)

    body = ask(user("1"), turn, user(ToolResult("a", "look", "sand")), tools=(LOOK,))

    assert body["messages"][1] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    }


@pytest.mark.parametrize(
    "turn", [assistant(Reasoning("Hm."), "2", provider="claude"), assistant("2", provider="deepseek")]
)
def test_reasoning_is_neither_borrowed_nor_invented(turn: Any) -> None:
    assert "reasoning_content" not in ask(user("1"), turn)["messages"][1]


def test_tools_are_not_marked_strict() -> None:
    assert "strict" not in ask(tools=(LOOK,))["tools"][0]["function"]


def test_the_body_fits_the_types_it_shares_with_openai() -> None:
    body = ask(reasoning=ReasoningOptions(Effort.HIGH), tools=(LOOK,), system_instruction="Be brief.")

    shared = {name: value for name, value in body.items() if name != "thinking"}
    assert seen_by(CompletionCreateParamsNonStreaming, body) == shared
