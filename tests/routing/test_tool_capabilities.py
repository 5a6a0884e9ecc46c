"""Tool requirements of a request: tool calling, parallel and forced calls, strict tools, and reasoning."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.model import Capability, Support, SupportLevel
from aimanager_server.core.content import Effort, ReasoningOptions, Tool, ToolChoice, ToolMode
from aimanager_server.core.errors import CapabilityUnsupported
from tests.support.resolver import (
    WEATHER,
    capability_error,
    generate_params,
    lab_resolver,
    make_resolver,
    resolve,
    violated_fields,
)

FORCED = ToolChoice(ToolMode.REQUIRED)
STRICT = Tool("f", strict=True)
CHAT_COMPLETIONS = make_resolver(openai={"wire": "chat_completions"})


def test_tools_require_tool_calling() -> None:
    resolver = lab_resolver(capabilities={Capability.TOOL_CALLING: Support(SupportLevel.NONE)})

    assert violated_fields(capability_error(generate_params("lab/llama", tools=(WEATHER,)), resolver)) == ["tools"]


def test_parallel_tool_calls_require_their_capability() -> None:
    resolver = lab_resolver(capabilities={Capability.PARALLEL_TOOL_CALLING: Support(SupportLevel.NONE)})

    assert resolve(generate_params("lab/llama", tools=(WEATHER,), tool_choice=ToolChoice(parallel=False)), resolver)
    error = capability_error(
        generate_params("lab/llama", tools=(WEATHER,), tool_choice=ToolChoice(parallel=True)), resolver
    )
    assert violated_fields(error) == ["tool_choice.parallel"]


@pytest.mark.parametrize("model", ["claude-fable-5-2", "claude-fable-5-1", "claude-opus-5-5", "claude-sonnet-5-5"])
@pytest.mark.parametrize("choice", [FORCED, ToolChoice(tool_name="get_weather")])
def test_forced_tool_call_is_rejected_by_models_without_it(model: str, choice: ToolChoice) -> None:
    error = capability_error(generate_params(f"claude/{model}", tools=(WEATHER,), tool_choice=choice))

    assert violated_fields(error) == ["tool_choice"]
    assert "claude/claude-haiku-5-5" in error.metadata["models"]


@pytest.mark.parametrize("model", ["claude/claude-haiku-5-5", "claude/claude-opus-4-8", "openai/gpt-4o", "mock/latest"])
def test_forced_tool_call_is_accepted_by_other_models(model: str) -> None:
    assert resolve(generate_params(model, tools=(WEATHER,), tool_choice=FORCED))


@pytest.mark.parametrize(
    "reasoning", [ReasoningOptions(effort=Effort.LOW), ReasoningOptions(budget_tokens=2048)], ids=["effort", "budget"]
)
def test_forced_tool_call_while_reasoning_is_rejected(reasoning: ReasoningOptions) -> None:
    fields = {"tools": (WEATHER,), "tool_choice": FORCED}

    assert resolve(generate_params("claude/claude-haiku-4-5", **fields))
    error = capability_error(generate_params("claude/claude-haiku-4-5", **fields, reasoning=reasoning))
    assert "does not support a forced tool call while reasoning" in error.message


def test_strict_tool_is_rejected_by_models_without_it() -> None:
    error = capability_error(generate_params("deepseek/latest", tools=(WEATHER, STRICT)))

    assert violated_fields(error) == ["tools[1].strict"]


@pytest.mark.parametrize("model", ["claude/latest", "openai/gpt-4o", "mock/latest"])
def test_strict_tool_is_accepted_by_other_models(model: str) -> None:
    assert resolve(generate_params(model, tools=(STRICT,)))


def test_number_of_strict_tools_is_limited() -> None:
    tools = tuple(Tool(f"f{number}", strict=True) for number in range(21))

    assert resolve(generate_params("claude/latest", tools=tools[:20]))
    error = capability_error(generate_params("claude/latest", tools=tools))
    assert violated_fields(error) == ["tools"]
    assert "claude" not in error.metadata["models"]


@pytest.mark.parametrize("model", ["openai/gpt-6.1-sol", "openai/gpt-6-astra"])
def test_tools_are_rejected_if_reasoning_cannot_be_disabled(model: str) -> None:
    error = capability_error(generate_params(model, tools=(WEATHER,)), CHAT_COMPLETIONS)

    assert violated_fields(error) == ["tools"]
    assert "does not support tool calling while reasoning" in error.message
    assert error.metadata["models"].startswith("openai/")


def test_tools_are_rejected_with_requested_reasoning() -> None:
    reasoning = ReasoningOptions(effort=Effort.HIGH)

    error = capability_error(
        generate_params("openai/gpt-6-luna", tools=(WEATHER,), reasoning=reasoning), CHAT_COMPLETIONS
    )

    assert "while reasoning" in error.message


@pytest.mark.parametrize("reasoning", [ReasoningOptions(), ReasoningOptions(effort=Effort.NONE)])
def test_tools_disable_default_reasoning(reasoning: ReasoningOptions) -> None:
    call = resolve(generate_params("openai/gpt-6-luna", tools=(WEATHER,), reasoning=reasoning), CHAT_COMPLETIONS)

    assert call.target.reasoning.effort is Effort.NONE


def test_tools_with_effort_none_are_rejected_if_the_model_always_reasons() -> None:
    reasoning = ReasoningOptions(effort=Effort.NONE)

    assert capability_error(
        generate_params("openai/gpt-6.1-sol", tools=(WEATHER,), reasoning=reasoning), CHAT_COMPLETIONS
    )


@pytest.mark.parametrize("model", ["openai/latest", "openai/gpt-5.5", "openai/gpt-4o", "claude/latest"])
def test_tools_are_accepted_if_the_model_supports_them_while_reasoning_or_it_is_unknown(model: str) -> None:
    assert resolve(generate_params(model, tools=(WEATHER,)))


def test_no_model_is_suggested_if_none_is_suitable() -> None:
    tools = tuple(Tool(f"f{number}", strict=True) for number in range(21))
    resolver = make_resolver(openai={"enabled": False})

    error = capability_error(generate_params("claude/latest", tools=tools), resolver)

    assert error.metadata == {}
    assert error.solution == CapabilityUnsupported.spec.solution
