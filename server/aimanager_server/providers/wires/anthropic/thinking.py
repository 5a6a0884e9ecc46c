"""Choose the thinking fields and `max_tokens` together, because the API ties them to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....catalog.model import Model
from ....core.content import Effort, ReasoningOptions
from ....core.request import Target

DEFAULT_MAX_TOKENS = 4096
"""`max_tokens`, which the API requires, if the caller sets none and the model does not think."""

DEFAULT_MAX_TOKENS_WITH_THINKING = 16_384
"""The same for a thinking model: thinking counts against the limit."""

MIN_BUDGET_TOKENS = 1024
"""The API's minimum for `budget_tokens`."""

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


def plan_thinking(target: Target, model: Model | None) -> ThinkingPlan:
    """Return the thinking fields for the target.

    Unsupported options were normalized and reported during routing; this function picks the closest supported form.
    For an unknown model only an explicit budget is sent, because some models reject every other form.
    """
    reasoning = target.reasoning
    if model is None or model.thinking in ("unknown", "none"):
        cannot_think = model is not None and model.thinking == "none"
        return _budget_plan(target, model, None if cannot_think else reasoning.budget_tokens)
    if reasoning.effort is Effort.NONE and model.thinking != "always":
        return ThinkingPlan(_max_tokens(target, model, thinks=False), {"type": "disabled"})
    if model.thinking == "budget":
        return _budget_plan(target, model, reasoning.budget_tokens or _budget(target, model))
    thinks = _requests_thinking(reasoning) or model.thinking == "always" or model.reasons_at(None)
    is_sent = thinks and (_requests_thinking(reasoning) or reasoning.include)
    thinking = {"type": "adaptive", **_display(reasoning)} if is_sent else None
    return ThinkingPlan(_max_tokens(target, model, thinks=thinks), thinking, _effort(reasoning, model))


def _requests_thinking(reasoning: ReasoningOptions) -> bool:
    return reasoning.budget_tokens is not None or reasoning.effort not in (None, Effort.NONE)


def _display(reasoning: ReasoningOptions) -> dict[str, Any]:
    return {"display": "summarized"} if reasoning.include else {}


def _effort(reasoning: ReasoningOptions, model: Model) -> str | None:
    """Return the closest supported level, the lower one on a tie. NONE maps to the lowest level."""
    levels = [level for level in model.efforts or () if level is not Effort.NONE]
    if reasoning.effort is None or not levels:
        return None
    wanted = reasoning.effort.value
    return min(levels, key=lambda level: (abs(level.value - wanted), level.value)).label


def _budget_plan(target: Target, model: Model | None, budget: int | None) -> ThinkingPlan:
    if budget is None:
        return ThinkingPlan(_max_tokens(target, model, thinks=False))
    thinking = {"type": "enabled", "budget_tokens": budget, **_display(target.reasoning)}
    return ThinkingPlan(_max_tokens(target, model, thinks=True, budget=budget), thinking)


def _budget(target: Target, model: Model) -> int | None:
    """Return the budget of the effort, below the output limit; None without an effort or if no budget fits."""
    effort = target.reasoning.effort
    if effort is None:
        return None
    max_output_tokens = target.sampling.max_output_tokens or model.max_output_tokens
    budget = EFFORT_BUDGETS[effort] if max_output_tokens is None else min(EFFORT_BUDGETS[effort], max_output_tokens - 1)
    return budget if budget >= MIN_BUDGET_TOKENS else None


def _max_tokens(target: Target, model: Model | None, *, thinks: bool, budget: int = 0) -> int:
    if target.sampling.max_output_tokens is not None:
        return target.sampling.max_output_tokens
    if not thinks:
        return DEFAULT_MAX_TOKENS
    wanted = max(DEFAULT_MAX_TOKENS_WITH_THINKING, budget + DEFAULT_MAX_TOKENS)
    max_output_tokens = model.max_output_tokens if model is not None else None
    return wanted if max_output_tokens is None else min(wanted, max_output_tokens)
