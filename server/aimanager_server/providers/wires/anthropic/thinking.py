"""Choose the thinking fields and `max_tokens` together, because the API ties them to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....catalog.model import Model
from ....core.content import Effort, ReasoningOptions
from ....core.request import Target
from ..setting_changes import EFFORT, INCLUDE, SettingChanges

DEFAULT_MAX_TOKENS = 4096
"""`max_tokens`, which the API requires, if the caller sets none and the model does not think."""

DEFAULT_MAX_TOKENS_WITH_THINKING = 16_384
"""The same for a thinking model: thinking counts against the limit."""

MIN_BUDGET_TOKENS = 1024
"""The API's minimum for `budget_tokens`."""

API_EFFORTS = (Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.XHIGH, Effort.MAX)
"""The levels of the API, for models whose own are unknown."""

EFFORT_BUDGETS: dict[Effort, int] = {
    Effort.MINIMAL: 1024,
    Effort.LOW: 2048,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 16_384,
    Effort.XHIGH: 32_768,
    Effort.MAX: 49_152,
}
"""The budget of each effort, in tokens, for models that accept only budgets (the 4.5 family)."""


@dataclass(frozen=True, slots=True)
class ThinkingPlan:
    """The thinking fields and the matching token limit. A field that is None is not sent."""

    max_tokens: int
    thinking: dict[str, Any] | None = None
    effort: str | None = None


def plan_thinking(target: Target, model: Model | None, changes: SettingChanges) -> ThinkingPlan:
    """Return the thinking fields for the target.

    Routing has normalized and reported what the catalog knows; this function picks the closest form of the rest. An
    unknown model gets the forms of the newest models, except for an explicit budget.
    """
    reasoning = target.reasoning
    if model is None or model.thinking == "unknown":
        return _unknown_model_plan(target, model, changes)
    if model.thinking == "none":
        return _budget_plan(target, model, None, changes)
    if reasoning.effort is Effort.NONE and model.thinking != "always":
        return ThinkingPlan(_max_tokens(target, model, thinks=False), {"type": "disabled"})
    if model.thinking == "budget":
        return _budget_plan(target, model, _requested_budget(target, model, changes), changes)
    thinks = _requests_thinking(reasoning) or model.thinking == "always" or model.reasons_at(None)
    is_sent = thinks and (_requests_thinking(reasoning) or reasoning.include)
    thinking = {"type": "adaptive", **_display(reasoning)} if is_sent else None
    if thinking is None:
        _report_ignored_include(reasoning, changes)
    effort = _effort(reasoning, model.efforts or (), changes)
    return ThinkingPlan(_max_tokens(target, model, thinks=thinks), thinking, effort)


def _unknown_model_plan(target: Target, model: Model | None, changes: SettingChanges) -> ThinkingPlan:
    reasoning = target.reasoning
    if reasoning.budget_tokens is not None:
        _report_ignored_effort(reasoning, changes)
        return _budget_plan(target, model, reasoning.budget_tokens, changes)
    if reasoning.effort is Effort.NONE:
        return ThinkingPlan(_max_tokens(target, model, thinks=False), {"type": "disabled"})
    is_sent = _requests_thinking(reasoning) or reasoning.include
    thinking = {"type": "adaptive", **_display(reasoning)} if is_sent else None
    return ThinkingPlan(_max_tokens(target, model, thinks=is_sent), thinking, _effort(reasoning, API_EFFORTS, changes))


def _requests_thinking(reasoning: ReasoningOptions) -> bool:
    return reasoning.budget_tokens is not None or reasoning.effort not in (None, Effort.NONE)


def _display(reasoning: ReasoningOptions) -> dict[str, Any]:
    return {"display": "summarized"} if reasoning.include else {}


def _effort(reasoning: ReasoningOptions, efforts: Sequence[Effort], changes: SettingChanges) -> str | None:
    """Return the closest supported level, the lower one on a tie. NONE maps to the lowest level."""
    levels = [level for level in efforts if level is not Effort.NONE]
    if reasoning.effort is None or not levels:
        return None
    wanted = reasoning.effort.value
    level = min(levels, key=lambda level: (abs(level.value - wanted), level.value))
    if level is not reasoning.effort:
        changes.report(
            EFFORT, f"The Messages API does not support effort {reasoning.effort.label}; {level.label} is used."
        )
    return level.label


def _report_ignored_include(reasoning: ReasoningOptions, changes: SettingChanges) -> None:
    if reasoning.include:
        changes.report(INCLUDE, "The model reasons only if an effort or a budget is set; include was ignored.")


def _report_ignored_effort(reasoning: ReasoningOptions, changes: SettingChanges) -> None:
    if reasoning.effort is not None:
        changes.remove(EFFORT, "The budget takes precedence over the effort")


def _budget_plan(target: Target, model: Model | None, budget: int | None, changes: SettingChanges) -> ThinkingPlan:
    if budget is None:
        _report_ignored_include(target.reasoning, changes)
        return ThinkingPlan(_max_tokens(target, model, thinks=False))
    thinking = {"type": "enabled", "budget_tokens": budget, **_display(target.reasoning)}
    return ThinkingPlan(_max_tokens(target, model, thinks=True, budget=budget), thinking)


def _requested_budget(target: Target, model: Model, changes: SettingChanges) -> int | None:
    """Return the budget, that of the effort if none is set; below the output limit, None if no budget fits."""
    reasoning = target.reasoning
    if reasoning.budget_tokens is not None:
        _report_ignored_effort(reasoning, changes)
        return reasoning.budget_tokens
    if reasoning.effort is None:
        return None
    wanted = EFFORT_BUDGETS[reasoning.effort]
    limit = target.sampling.max_output_tokens or model.max_output_tokens
    if limit is None or wanted < limit:
        return wanted
    if limit - 1 < MIN_BUDGET_TOKENS:
        changes.remove(EFFORT, f"max_output_tokens {limit} leaves no room for reasoning")
        return None
    changes.report(EFFORT, f"max_output_tokens {limit} limits reasoning to {limit - 1} tokens.")
    return limit - 1


def _max_tokens(target: Target, model: Model | None, *, thinks: bool, budget: int = 0) -> int:
    if target.sampling.max_output_tokens is not None:
        return target.sampling.max_output_tokens
    if not thinks:
        return DEFAULT_MAX_TOKENS
    wanted = max(DEFAULT_MAX_TOKENS_WITH_THINKING, budget + DEFAULT_MAX_TOKENS)
    max_output_tokens = model.max_output_tokens if model is not None else None
    return wanted if max_output_tokens is None else min(wanted, max_output_tokens)
