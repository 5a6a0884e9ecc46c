"""How much a model is asked to think."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.content import Effort, ReasoningOptions, Sampling
from aimanager_server.routing.reasoning import nearest
from tests.support.resolver import WEATHER, ask, resolver, target, warned

EFFORT, BUDGET, INCLUDE = "reasoning.effort", "reasoning.budget_tokens", "reasoning.include"


def effort(model: str, asked: Effort, **fields: Any) -> Effort | None:
    return target(ask(model, reasoning=ReasoningOptions(effort=asked), **fields)).reasoning.effort


@pytest.mark.parametrize(
    ("model", "asked", "taken"),
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
def test_the_nearest_level_is_taken_and_told(model: str, asked: Effort, taken: Effort) -> None:
    assert effort(model, asked) is taken
    assert f"the nearest, {taken.label}," in warned(ask(model, reasoning=ReasoningOptions(effort=asked)))[EFFORT]


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("claude/claude-opus-5-5", Effort.MAX),
        ("claude/claude-opus-5", Effort.NONE),
        ("openai/gpt-5", Effort.MINIMAL),
        ("deepseek/deepseek-flash", Effort.NONE),
        ("mock/latest", Effort.XHIGH),
    ],
)
def test_a_level_the_model_has_is_taken_as_it_is(model: str, asked: Effort) -> None:
    assert effort(model, asked) is asked
    assert warned(ask(model, reasoning=ReasoningOptions(effort=asked))) == {}


def test_thinking_is_not_taken_for_not_thinking() -> None:
    assert nearest([Effort.NONE, Effort.MAX], Effort.MINIMAL, None) is Effort.MAX
    assert nearest([Effort.NONE], Effort.MINIMAL, None) is Effort.NONE


def test_a_model_that_does_not_think_is_not_asked_to() -> None:
    assert effort("openai/gpt-4o", Effort.HIGH) is None
    assert "does not think" in warned(ask("openai/gpt-4o", reasoning=ReasoningOptions(effort=Effort.HIGH)))[EFFORT]


def test_not_thinking_is_what_such_a_model_does_anyway() -> None:
    assert effort("openai/gpt-4o", Effort.NONE) is None
    assert warned(ask("openai/gpt-4o", reasoning=ReasoningOptions(effort=Effort.NONE))) == {}


@pytest.mark.parametrize(
    ("model", "taken"),
    [("deepseek/fast", Effort.NONE), ("deepseek/reasoning", Effort.MAX), ("claude/reasoning", Effort.HIGH)],
)
def test_an_alias_brings_its_effort(model: str, taken: Effort) -> None:
    assert target(ask(model)).reasoning.effort is taken


def test_the_callers_effort_beats_the_aliass() -> None:
    assert effort("deepseek/fast", Effort.HIGH) is Effort.HIGH


def test_the_callers_budget_beats_the_aliass_effort() -> None:
    found = target(ask("claude/reasoning", reasoning=ReasoningOptions(budget_tokens=1000)))

    assert found.reasoning.effort is Effort.LOW


def test_an_alias_leaves_the_callers_wish_to_see_it() -> None:
    found = target(ask("claude/reasoning", reasoning=ReasoningOptions(include=True)))

    assert found.reasoning == ReasoningOptions(effort=Effort.HIGH, include=True)


@pytest.mark.parametrize(
    ("budget", "taken"),
    [(1, Effort.LOW), (4095, Effort.LOW), (4096, Effort.MEDIUM), (16_383, Effort.MEDIUM), (16_384, Effort.HIGH)],
)
def test_a_budget_becomes_an_effort_where_none_is_taken(budget: int, taken: Effort) -> None:
    asked = ask("claude/claude-opus-5-5", reasoning=ReasoningOptions(budget_tokens=budget))

    assert target(asked).reasoning == ReasoningOptions(effort=taken)
    assert warned(asked) == {BUDGET: f"claude-opus-5-5 takes no budget; effort {taken.label} is asked for instead."}


def test_an_effort_beside_such_a_budget_decides() -> None:
    asked = ReasoningOptions(effort=Effort.MAX, budget_tokens=10)

    assert target(ask("openai/gpt-6-luna", reasoning=asked)).reasoning == ReasoningOptions(effort=Effort.MAX)


def test_a_budget_means_nothing_to_a_model_that_does_not_think() -> None:
    asked = ask("openai/gpt-4o", reasoning=ReasoningOptions(budget_tokens=2000))

    assert target(asked).reasoning == ReasoningOptions()
    assert warned(asked) == {BUDGET: "gpt-4o takes no budget; it was left out."}


@pytest.mark.parametrize(
    ("budget", "limit", "taken", "said"),
    [
        (5000, None, 5000, ""),
        (1024, None, 1024, ""),
        (1023, None, 1024, "below what claude-haiku-4-5 takes"),
        (5000, 5000, 4999, "4999 is used"),
        (64_000, None, 63_999, "63999 is used"),
        (5000, 1025, 1024, "1024 is used"),
        (5000, 1024, None, "no room to think"),
    ],
)
def test_a_budget_fits_between_its_least_and_the_limit(
    budget: int, limit: int | None, taken: int | None, said: str
) -> None:
    asked = ask(
        "claude/claude-haiku-4-5",
        reasoning=ReasoningOptions(budget_tokens=budget),
        sampling=Sampling(max_output_tokens=limit),
    )

    assert target(asked).reasoning.budget_tokens == taken
    assert said in warned(asked).get(BUDGET, "")
    assert bool(said) == (BUDGET in warned(asked))


def test_a_budget_that_is_taken_beats_effort_none() -> None:
    asked = ReasoningOptions(effort=Effort.NONE, budget_tokens=2000)

    found = target(ask("claude/claude-haiku-4-5", reasoning=asked)).reasoning

    assert found == ReasoningOptions(budget_tokens=2000)


def test_tools_that_turn_thinking_off_are_told() -> None:
    older = resolver(openai={"wire": "chat_completions"})

    assert "so effort none is used" in warned(ask("openai/gpt-5.6-sol", tools=(WEATHER,)), older)[EFFORT]
    assert warned(ask("openai/fast", tools=(WEATHER,)), older) == {}


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-6-luna", "gpt-6-astra"])
def test_the_newer_wire_leaves_thinking_on_beside_tools(model: str) -> None:
    asked = ask(f"openai/{model}", tools=(WEATHER,), reasoning=ReasoningOptions(effort=Effort.HIGH))

    assert target(asked).reasoning.effort is Effort.HIGH
    assert warned(ask(f"openai/{model}", tools=(WEATHER,))) == {}


def test_reasoning_that_is_not_shown_cannot_be_included() -> None:
    asked, older = ask("openai/latest", reasoning=ReasoningOptions(include=True)), {"wire": "chat_completions"}

    assert not target(asked, resolver(openai=older)).reasoning.include
    assert warned(asked, resolver(openai=older)) == {INCLUDE: "gpt-6.2-sol does not show its reasoning here."}


@pytest.mark.parametrize("model", ["claude/latest", "openai/latest"])
def test_reasoning_that_is_shown_can(model: str) -> None:
    asked = ask(model, reasoning=ReasoningOptions(include=True))

    assert target(asked).reasoning.include
    assert warned(asked) == {}
