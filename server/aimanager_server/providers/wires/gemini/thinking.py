"""Encode reasoning options: as a level from Gemini 3 on, as a token budget before. The API rejects both at once."""

from __future__ import annotations

from typing import Any

from ....catalog.model import Model
from ....core.content import Effort, ReasoningOptions
from ..setting_changes import EFFORT, SettingChanges

THINKING_LEVELS: dict[Effort, str] = {
    Effort.NONE: "minimal",
    Effort.MINIMAL: "minimal",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "high",
}
"""The level of each effort. No level turns thinking off."""

EFFORT_BUDGETS: dict[Effort, int] = {
    Effort.NONE: 0,
    Effort.MINIMAL: 512,
    Effort.LOW: 1024,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 24_576,
    Effort.XHIGH: 24_576,
    Effort.MAX: 24_576,
}
"""The budget of each effort, in tokens, for the 2.5 family. The last is the most that all its models accept."""


def uses_thinking_budget(model: Model | None) -> bool:
    """Return whether the model uses token budgets and no thought signatures (Gemini 2.5). Unknown models do not."""
    return model is not None and model.min_budget_tokens is not None


def thinking_config(reasoning: ReasoningOptions, model: Model | None, changes: SettingChanges) -> dict[str, Any]:
    """Return `thinkingConfig`; empty if no reasoning option is set."""
    config: dict[str, Any] = {"includeThoughts": True} if reasoning.include else {}
    if reasoning.budget_tokens is not None:
        config["thinkingBudget"] = reasoning.budget_tokens
        if reasoning.effort is not None:
            changes.remove(EFFORT, "The Gemini API accepts either a budget or an effort")
    elif reasoning.effort is not None and model is not None and model.min_budget_tokens is not None:
        budget = EFFORT_BUDGETS[reasoning.effort]
        config["thinkingBudget"] = max(budget, model.min_budget_tokens) if budget else 0
    elif reasoning.effort is not None:
        level = config["thinkingLevel"] = THINKING_LEVELS[reasoning.effort]
        if level != reasoning.effort.label:
            changes.report(EFFORT, f"The Gemini API has no level {reasoning.effort.label}; {level} is used.")
    return config
