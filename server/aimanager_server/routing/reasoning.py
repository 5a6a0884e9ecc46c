"""Settles how much a model thinks: the nearest it can do to what was asked, and a warning where that is not that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..catalog.catalog import Model
from ..core.content import Effort, ReasoningOptions
from ..core.response import SettingWarning

EFFORT, BUDGET, INCLUDE = "reasoning.effort", "reasoning.budget_tokens", "reasoning.include"

LITTLE, MUCH = 4096, 16_384
"""Budgets below the first mean effort low, from the second on high, in between medium."""

Settled = tuple[ReasoningOptions, tuple[SettingWarning, ...]]


def settle_reasoning(model: Model, asked: ReasoningOptions, *, by_caller: bool, tools: bool) -> Settled:
    """What to ask of the model, and what the caller should know about it.

    `by_caller`: the effort was the caller's and not an alias's. `tools`: there are some, which can exclude thinking.
    """
    asked, budget_told = _budget(model, asked)
    asked, effort_told = _effort(model, asked, by_caller=by_caller)
    asked, tools_told = _room_for_tools(model, asked) if tools else (asked, ())
    asked, include_told = _include(model, asked)
    return asked, (*budget_told, *effort_told, *tools_told, *include_told)


def nearest(efforts: Sequence[Effort], wanted: Effort, usual: Effort | None) -> Effort:
    """The level nearest to the one wanted; of two as near, the one nearer to the usual level, else the lower.

    Thinking is never taken for not thinking, unless there is nothing else.

    >>> nearest([Effort.NONE, Effort.LOW, Effort.HIGH], Effort.MINIMAL, None)
    <Effort.LOW: 2>
    """
    if wanted is Effort.NONE:
        return min(efforts, key=lambda effort: effort.value)
    thinking = [effort for effort in efforts if effort is not Effort.NONE] or efforts
    middle = usual.value if usual is not None else Effort.NONE.value
    return min(thinking, key=lambda effort: (abs(effort.value - wanted.value), abs(effort.value - middle)))


def fitted(model: Model, asked: ReasoningOptions, max_output_tokens: int | None) -> Settled:
    """The budget below the limit of the answer, since thinking counts against it; none where there is no room."""
    budget, most = asked.budget_tokens, max_output_tokens or model.max_output
    if budget is None or model.least_budget is None or most is None or budget < most:
        return asked, ()
    if most - 1 < model.least_budget:
        told = f"An answer of {most} tokens leaves {model.id} no room to think; the budget was left out."
        return replace(asked, budget_tokens=None), (SettingWarning(BUDGET, told),)
    told = f"{budget} is not below the {most} tokens of the answer; {most - 1} is used."
    return replace(asked, budget_tokens=most - 1), (SettingWarning(BUDGET, told),)


def _budget(model: Model, asked: ReasoningOptions) -> Settled:
    budget = asked.budget_tokens
    if budget is None or model.thinking == "unknown":
        return asked, ()
    if model.least_budget is None:
        return _effort_instead(model, asked, budget)
    # Where a budget is taken it decides, so an effort beside it must not say that there is no thinking.
    effort = None if asked.effort is Effort.NONE else asked.effort
    if budget >= model.least_budget:
        return replace(asked, effort=effort), ()
    told = f"{budget} is below what {model.id} takes; {model.least_budget} is used."
    return replace(asked, effort=effort, budget_tokens=model.least_budget), (SettingWarning(BUDGET, told),)


def _effort_instead(model: Model, asked: ReasoningOptions, budget: int) -> Settled:
    effort = asked.effort
    if model.efforts and effort is None:
        size = Effort.LOW if budget < LITTLE else Effort.MEDIUM if budget < MUCH else Effort.HIGH
        effort = nearest(model.efforts, size, model.default_effort)
    instead = f"effort {effort.label} is asked for instead" if model.efforts and effort else "it was left out"
    told = f"{model.id} takes no budget; {instead}."
    return replace(asked, effort=effort, budget_tokens=None), (SettingWarning(BUDGET, told),)


def _effort(model: Model, asked: ReasoningOptions, *, by_caller: bool) -> Settled:
    wanted = asked.effort
    if wanted is None or model.efforts is None or wanted in model.efforts:
        return asked, ()
    if not model.efforts:
        silent = wanted is Effort.NONE or not by_caller
        told = f"{model.id} does not think; effort {wanted.label} was left out."
        return replace(asked, effort=None), () if silent else (SettingWarning(EFFORT, told),)
    taken = nearest(model.efforts, wanted, model.default_effort)
    told = f"{model.id} has no effort {wanted.label}; the nearest, {taken.label}, is used."
    return replace(asked, effort=taken), (SettingWarning(EFFORT, told),) if by_caller else ()


def _room_for_tools(model: Model, asked: ReasoningOptions) -> Settled:
    """Turns off thinking that nobody asked for, where tools exclude it; where somebody did, `require` has refused."""
    excluded = model.tools_while_reasoning is False and model.reasons(asked.effort)
    if not excluded or asked.effort is not None:
        return asked, ()
    told = f"{model.id} calls no tools while it thinks, so effort none is used."
    return replace(asked, effort=Effort.NONE), (SettingWarning(EFFORT, told),)


def _include(model: Model, asked: ReasoningOptions) -> Settled:
    if not asked.include or model.shows_reasoning is not False:
        return asked, ()
    return replace(asked, include=False), (SettingWarning(INCLUDE, f"{model.id} does not show its reasoning here."),)
