"""Decides how much a Claude model thinks and how much it may write, since the API ties the one to the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....catalog.model import Model
from ....core.content import Effort, ReasoningOptions
from ....core.request import Target

PLAIN_LIMIT = 4096
"""max_tokens, which this API demands, where the caller names none and the model does not think."""

THINKING_LIMIT = 16_384
"""The same where it does: thinking counts against the limit."""

LEAST_BUDGET = 1024
"""The API's own minimum for `budget_tokens`."""

BUDGETS: dict[Effort, int] = {
    Effort.MINIMAL: 1024,
    Effort.LOW: 2048,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 16_384,
    Effort.XHIGH: 32_768,
    Effort.MAX: 49_152,
}
"""What an effort means, in tokens, to models that know budgets only (the 4.5 family)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The fields that say how to think, and the limit that goes with them. None: the field is not sent."""

    max_tokens: int
    thinking: dict[str, Any] | None = None
    effort: str | None = None


def plan(target: Target, model: Model | None) -> Plan:
    """What to ask of the target.

    What its model cannot do was settled and reported before; here the nearest thing it can do is chosen. A model
    nobody knows gets no thinking field, except for the budget a caller spelled out: some refuse any other form.
    """
    asked = target.reasoning
    if model is None or model.thinking in ("unknown", "none"):
        known = model is not None and model.thinking == "none"
        return _budgeted(target, model, None if known else asked.budget_tokens)
    if asked.effort is Effort.NONE and model.thinking != "always":
        return Plan(_limit(target, model, thinks=False), {"type": "disabled"})
    if model.thinking == "budget":
        return _budgeted(target, model, asked.budget_tokens or _budget(target, model))
    thinks = _wants(asked) or model.thinking == "always" or model.reasons(None)
    said = thinks and (_wants(asked) or asked.include)
    thinking = {"type": "adaptive", **_display(asked)} if said else None
    return Plan(_limit(target, model, thinks=thinks), thinking, _effort(asked, model))


def _wants(asked: ReasoningOptions) -> bool:
    return asked.budget_tokens is not None or asked.effort not in (None, Effort.NONE)


def _display(asked: ReasoningOptions) -> dict[str, Any]:
    return {"display": "summarized"} if asked.include else {}


def _effort(asked: ReasoningOptions, model: Model) -> str | None:
    """The nearest level the model has, the lower of two as near; the lowest is as near as it comes to none."""
    levels = [level for level in model.efforts or () if level is not Effort.NONE]
    if asked.effort is None or not levels:
        return None
    wanted = asked.effort.value
    return min(levels, key=lambda level: (abs(level.value - wanted), level.value)).label


def _budgeted(target: Target, model: Model | None, budget: int | None) -> Plan:
    if budget is None:
        return Plan(_limit(target, model, thinks=False))
    thinking = {"type": "enabled", "budget_tokens": budget, **_display(target.reasoning)}
    return Plan(_limit(target, model, thinks=True, budget=budget), thinking)


def _budget(target: Target, model: Model) -> int | None:
    """The budget of an effort, kept below the limit; None where no thinking was asked for or fits."""
    effort = target.reasoning.effort
    if effort is None:
        return None
    most = target.sampling.max_output_tokens or model.max_output
    budget = BUDGETS[effort] if most is None else min(BUDGETS[effort], most - 1)
    return budget if budget >= LEAST_BUDGET else None


def _limit(target: Target, model: Model | None, *, thinks: bool, budget: int = 0) -> int:
    if target.sampling.max_output_tokens is not None:
        return target.sampling.max_output_tokens
    if not thinks:
        return PLAIN_LIMIT
    wanted = max(THINKING_LIMIT, budget + PLAIN_LIMIT) if budget else THINKING_LIMIT
    most = model.max_output if model is not None else None
    return wanted if most is None else min(wanted, most)
