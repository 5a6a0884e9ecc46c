"""Which tools a model can be given, and how."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.catalog import Capability, Level, Support
from aimanager_server.core.content import Effort, ReasoningOptions, Tool, ToolChoice, ToolMode
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.resolver import WEATHER, ask, fields, lab, refusal, resolve, resolver

FORCED = ToolChoice(ToolMode.REQUIRED)
STRICT = Tool("f", strict=True)
OLDER = resolver(openai={"wire": "chat_completions"})


def test_tools_need_a_model_that_calls_them() -> None:
    by = lab(capabilities={Capability.TOOL_CALLING: Support(Level.NONE)})

    assert fields(refusal(ask("lab/llama", tools=(WEATHER,)), by)) == ["tools"]


def test_several_tools_at_once_need_a_model_that_does_so() -> None:
    by = lab(capabilities={Capability.PARALLEL_TOOL_CALLING: Support(Level.NONE)})

    assert resolve(ask("lab/llama", tools=(WEATHER,), tool_choice=ToolChoice(parallel=False)), by)
    fault = refusal(ask("lab/llama", tools=(WEATHER,), tool_choice=ToolChoice(parallel=True)), by)
    assert fields(fault) == ["tool_choice.parallel"]


@pytest.mark.parametrize("model", ["claude-fable-5-2", "claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5"])
@pytest.mark.parametrize("choice", [FORCED, ToolChoice(tool_name="get_weather")])
def test_some_models_cannot_be_forced(model: str, choice: ToolChoice) -> None:
    fault = refusal(ask(f"claude/{model}", tools=(WEATHER,), tool_choice=choice))

    assert fields(fault) == ["tool_choice"]
    assert "claude/claude-haiku-5-5" in fault.metadata["models"]


@pytest.mark.parametrize("model", ["claude/claude-haiku-5-5", "claude/claude-opus-4-8", "openai/gpt-4o", "mock/latest"])
def test_others_can_be_forced(model: str) -> None:
    assert resolve(ask(model, tools=(WEATHER,), tool_choice=FORCED))


@pytest.mark.parametrize(
    "reasoning", [ReasoningOptions(effort=Effort.LOW), ReasoningOptions(budget_tokens=2048)], ids=["effort", "budget"]
)
def test_a_model_with_a_budget_cannot_be_forced_while_it_thinks(reasoning: ReasoningOptions) -> None:
    asked = {"tools": (WEATHER,), "tool_choice": FORCED}

    assert resolve(ask("claude/claude-haiku-4-5", **asked))
    fault = refusal(ask("claude/claude-haiku-4-5", **asked, reasoning=reasoning))
    assert "cannot be forced to call a tool while it thinks" in fault.message


def test_strict_tools_are_refused_where_nothing_can_be_promised() -> None:
    fault = refusal(ask("deepseek/latest", tools=(WEATHER, STRICT)))

    assert fields(fault) == ["tools[1].strict"]


@pytest.mark.parametrize("model", ["claude/latest", "openai/gpt-4o", "mock/latest"])
def test_strict_tools_are_taken_elsewhere(model: str) -> None:
    assert resolve(ask(model, tools=(STRICT,)))


def test_strict_tools_can_be_too_many() -> None:
    tools = tuple(Tool(f"f{number}", strict=True) for number in range(21))

    assert resolve(ask("claude/latest", tools=tools[:20]))
    fault = refusal(ask("claude/latest", tools=tools))
    assert fields(fault) == ["tools"]
    assert "claude" not in fault.metadata["models"]


@pytest.mark.parametrize("model", ["openai/gpt-6.1-sol", "openai/gpt-6-astra"])
def test_tools_exclude_thinking_that_cannot_be_turned_off(model: str) -> None:
    fault = refusal(ask(model, tools=(WEATHER,)), OLDER)

    assert fields(fault) == ["tools"]
    assert "calls no tools while it thinks" in fault.message
    assert fault.metadata["models"].startswith("openai/")


def test_tools_exclude_thinking_that_was_asked_for() -> None:
    asked = ReasoningOptions(effort=Effort.HIGH)

    fault = refusal(ask("openai/gpt-6-luna", tools=(WEATHER,), reasoning=asked), OLDER)

    assert "while it thinks" in fault.message


@pytest.mark.parametrize("reasoning", [ReasoningOptions(), ReasoningOptions(effort=Effort.NONE)])
def test_tools_turn_off_thinking_that_was_not(reasoning: ReasoningOptions) -> None:
    call = resolve(ask("openai/gpt-6-luna", tools=(WEATHER,), reasoning=reasoning), OLDER)

    assert call.target.reasoning.effort is Effort.NONE


def test_effort_none_does_not_help_a_model_that_always_thinks() -> None:
    asked = ReasoningOptions(effort=Effort.NONE)

    assert refusal(ask("openai/gpt-6.1-sol", tools=(WEATHER,), reasoning=asked), OLDER)


@pytest.mark.parametrize("model", ["openai/latest", "openai/gpt-5.5", "openai/gpt-4o", "claude/latest"])
def test_tools_and_thinking_go_together_elsewhere_or_it_is_not_known(model: str) -> None:
    assert resolve(ask(model, tools=(WEATHER,)))


def test_nothing_is_named_where_nobody_can() -> None:
    tools = tuple(Tool(f"f{number}", strict=True) for number in range(21))
    by = resolver(openai={"enabled": False})

    fault = refusal(ask("claude/latest", tools=tools), by)

    assert fault.metadata == {}
    assert fault.solution == CapabilityUnsupported.spec.solution
