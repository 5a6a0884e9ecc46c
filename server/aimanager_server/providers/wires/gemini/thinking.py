"""Says how much a Gemini model is to think: by level from Gemini 3 on, by tokens before; both at once is refused."""

from __future__ import annotations

from typing import Any

from ....catalog.model import Model
from ....core.content import Effort, ReasoningOptions

LEVELS: dict[Effort, str] = {
    Effort.MINIMAL: "minimal",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "high",
}
"""There is no level for none: where thinking can be little at best, that was settled before."""

BUDGETS: dict[Effort, int] = {
    Effort.NONE: 0,
    Effort.MINIMAL: 512,
    Effort.LOW: 1024,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 24_576,
    Effort.XHIGH: 24_576,
    Effort.MAX: 24_576,
}
"""What an effort means, in tokens, to the 2.5 family; the last is the most that all of it take."""


def thinks_by_budget(model: Model | None) -> bool:
    """Whether the model is of the family before thought signatures and levels; one nobody knows is taken for new."""
    return model is not None and model.least_budget is not None


def thinking_config(asked: ReasoningOptions, model: Model | None) -> dict[str, Any]:
    """`thinkingConfig`, empty where nothing was asked."""
    config: dict[str, Any] = {"includeThoughts": True} if asked.include else {}
    if asked.budget_tokens is not None:
        config["thinkingBudget"] = asked.budget_tokens
    elif asked.effort is not None and model is not None and model.least_budget is not None:
        budget = BUDGETS[asked.effort]
        config["thinkingBudget"] = max(budget, model.least_budget) if budget else 0
    elif asked.effort in LEVELS:
        config["thinkingLevel"] = LEVELS[asked.effort]
    return config
