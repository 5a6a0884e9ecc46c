"""Normalizing reasoning options."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.routing.reasoning import nearest_effort
from tests.support.resolver import WEATHER, generate_params, make_resolver, resolve_target, warnings_of

EFFORT, BUDGET, INCLUDE = "reasoning.effort", "reasoning.budget_tokens", "reasoning.include"


def normalized_effort(model: str, requested: Effort) -> Effort | None:
    return resolve_target(generate_params(model, reasoning=ReasoningOptions(effort=requested))).reasoning.effort


@pytest.mark.parametrize(
    ("model", "requested", "effort"),
    [
        ("claude/claude-opus-5-5", Effort.NONE, Effort.LOW),
        ("claude/claude-opus-5-5", Effort.MINIMAL, Effort.LOW),
        ("claude/claude-opus-4-6", Effort.XHIGH, Effort.HIGH),
        ("claude/claude-opus-4-5", Effort.MAX, Effort.HIGH),
        ("openai/gpt-5", Effort.NONE, Effort.MINIMAL),
        ("openai/gpt-5.5", Effort.MAX, Effort.XHIGH),
        ("openai/gpt-6-luna", Effort.MINIMAL, Effort.LOW),
        ("deepseek/deepseek-v4-pro", Effort.MINIMAL, Effort.LOW),
        ("deepseek/deepseek-v4-pro", Effort.MEDIUM, Effort.HIGH),
        ("deepseek/deepseek-v4-pro", Effort.XHIGH, Effort.HIGH),
    ],
)
def test_unsupported_effort_becomes_the_nearest_with_a_warning(model: str, requested: Effort, effort: Effort) -> None:
    assert normalized_effort(model, requested) is effort
    assert (
        f"the nearest, {effort.label},"
        in warnings_of(generate_params(model, reasoning=ReasoningOptions(effort=requested)))[EFFORT]
    )


@pytest.mark.parametrize(
    ("model", "requested"),
    [
        ("claude/claude-opus-5-5", Effort.MAX),
        ("claude/claude-opus-5", Effort.NONE),
        ("openai/gpt-5", Effort.MINIMAL),
        ("deepseek/deepseek-flash", Effort.NONE),
        ("mock/latest", Effort.XHIGH),
    ],
)
def test_supported_effort_is_kept(model: str, requested: Effort) -> None:
    assert normalized_effort(model, requested) is requested
    assert warnings_of(generate_params(model, reasoning=ReasoningOptions(effort=requested))) == {}


def test_effort_none_replaces_another_level_only_if_it_is_the_only_one() -> None:
    assert nearest_effort([Effort.NONE, Effort.MAX], Effort.MINIMAL, None) is Effort.MAX
    assert nearest_effort([Effort.NONE], Effort.MINIMAL, None) is Effort.NONE


def test_effort_is_removed_for_a_model_without_reasoning() -> None:
    assert normalized_effort("openai/gpt-4o", Effort.HIGH) is None
    assert (
        "does not support reasoning"
        in warnings_of(generate_params("openai/gpt-4o", reasoning=ReasoningOptions(effort=Effort.HIGH)))[EFFORT]
    )


def test_effort_none_is_removed_without_a_warning_for_a_model_without_reasoning() -> None:
    assert normalized_effort("openai/gpt-4o", Effort.NONE) is None
    assert warnings_of(generate_params("openai/gpt-4o", reasoning=ReasoningOptions(effort=Effort.NONE))) == {}


@pytest.mark.parametrize(
    ("model", "effort"),
    [("deepseek/fast", Effort.NONE), ("deepseek/reasoning", Effort.MAX), ("claude/reasoning", Effort.HIGH)],
)
def test_alias_sets_its_effort(model: str, effort: Effort) -> None:
    assert resolve_target(generate_params(model)).reasoning.effort is effort


def test_effort_of_the_caller_has_precedence_over_the_alias() -> None:
    assert normalized_effort("deepseek/fast", Effort.HIGH) is Effort.HIGH


def test_budget_of_the_caller_has_precedence_over_the_alias() -> None:
    found = resolve_target(generate_params("claude/reasoning", reasoning=ReasoningOptions(budget_tokens=1000)))

    assert found.reasoning.effort is Effort.LOW


def test_alias_keeps_include_of_the_caller() -> None:
    found = resolve_target(generate_params("claude/reasoning", reasoning=ReasoningOptions(include=True)))

    assert found.reasoning == ReasoningOptions(effort=Effort.HIGH, include=True)


@pytest.mark.parametrize(
    ("budget", "effort"),
    [(1, Effort.LOW), (4095, Effort.LOW), (4096, Effort.MEDIUM), (16_383, Effort.MEDIUM), (16_384, Effort.HIGH)],
)
def test_unsupported_budget_becomes_an_effort(budget: int, effort: Effort) -> None:
    params = generate_params("claude/claude-opus-5-5", reasoning=ReasoningOptions(budget_tokens=budget))

    assert resolve_target(params).reasoning == ReasoningOptions(effort=effort)
    assert warnings_of(params) == {
        BUDGET: f"claude-opus-5-5 does not support a reasoning budget; effort {effort.label} is used instead."
    }


def test_effort_has_precedence_over_an_unsupported_budget() -> None:
    reasoning = ReasoningOptions(effort=Effort.MAX, budget_tokens=10)

    assert resolve_target(generate_params("openai/gpt-6-luna", reasoning=reasoning)).reasoning == ReasoningOptions(
        effort=Effort.MAX
    )


def test_budget_is_removed_for_a_model_without_reasoning() -> None:
    params = generate_params("openai/gpt-4o", reasoning=ReasoningOptions(budget_tokens=2000))

    assert resolve_target(params).reasoning == ReasoningOptions()
    assert warnings_of(params) == {BUDGET: "gpt-4o does not support a reasoning budget; it was removed."}


@pytest.mark.parametrize(
    ("budget", "limit", "fitted", "warning"),
    [
        (5000, None, 5000, ""),
        (1024, None, 1024, ""),
        (1023, None, 1024, "claude-haiku-4-5 requires at least 1024, got 1023"),
        (5000, 5000, 4999, "4999 is used"),
        (64_000, None, 63_999, "63999 is used"),
        (5000, 1025, 1024, "1024 is used"),
        (5000, 1024, None, "the budget was removed"),
    ],
)
def test_budget_is_fitted_between_the_minimum_and_the_output_limit(
    budget: int, limit: int | None, fitted: int | None, warning: str
) -> None:
    params = generate_params(
        "claude/claude-haiku-4-5",
        reasoning=ReasoningOptions(budget_tokens=budget),
        sampling=Sampling(max_output_tokens=limit),
    )

    assert resolve_target(params).reasoning.budget_tokens == fitted
    assert warning in warnings_of(params).get(BUDGET, "")
    assert bool(warning) == (BUDGET in warnings_of(params))


def test_supported_budget_has_precedence_over_effort_none() -> None:
    reasoning = ReasoningOptions(effort=Effort.NONE, budget_tokens=2000)

    found = resolve_target(generate_params("claude/claude-haiku-4-5", reasoning=reasoning)).reasoning

    assert found == ReasoningOptions(budget_tokens=2000)


def test_tools_disable_default_reasoning_with_a_warning() -> None:
    resolver = make_resolver(openai={"wire": "chat_completions"})

    assert (
        "tool calling while reasoning; effort none is used"
        in warnings_of(generate_params("openai/gpt-5.6-sol", tools=(WEATHER,)), resolver)[EFFORT]
    )
    assert warnings_of(generate_params("openai/fast", tools=(WEATHER,)), resolver) == {}


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-6-luna", "gpt-6-astra"])
def test_responses_wire_supports_tools_while_reasoning(model: str) -> None:
    params = generate_params(f"openai/{model}", tools=(WEATHER,), reasoning=ReasoningOptions(effort=Effort.HIGH))

    assert resolve_target(params).reasoning.effort is Effort.HIGH
    assert warnings_of(generate_params(f"openai/{model}", tools=(WEATHER,))) == {}


def test_include_is_ignored_if_the_model_does_not_return_reasoning() -> None:
    params = generate_params("openai/latest", reasoning=ReasoningOptions(include=True))
    resolver = make_resolver(openai={"wire": "chat_completions"})

    assert not resolve_target(params, resolver).reasoning.include
    assert warnings_of(params, resolver) == {INCLUDE: "gpt-6.2-sol does not return its reasoning; include was ignored."}


def test_optional_include_is_ignored_without_a_warning() -> None:
    options = ReasoningOptions(effort=Effort.LOW, include=True, is_include_optional=True)
    params = generate_params("openai/latest", reasoning=options)

    assert warnings_of(params, make_resolver(openai={"wire": "chat_completions"})) == {}


@pytest.mark.parametrize("model", ["claude/latest", "openai/latest"])
def test_include_is_kept_if_the_model_returns_reasoning(model: str) -> None:
    params = generate_params(model, reasoning=ReasoningOptions(include=True))

    assert resolve_target(params).reasoning.include
    assert warnings_of(params) == {}
