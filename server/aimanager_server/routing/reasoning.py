"""Normalize the reasoning options of a request for one model, with a warning for each change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..catalog.model import Alias, Model
from ..core.content import Effort, ReasoningOptions
from ..core.response import SettingWarning

EFFORT, BUDGET, INCLUDE = "reasoning.effort", "reasoning.budget_tokens", "reasoning.include"

NormalizedReasoning = tuple[ReasoningOptions, tuple[SettingWarning, ...]]


def requested_reasoning(alias: Alias | None, requested: ReasoningOptions) -> ReasoningOptions:
    """Return the caller's reasoning options, or those of the alias if the caller set neither effort nor budget."""
    if alias is None or requested.effort is not None or requested.budget_tokens is not None:
        return requested
    options = alias.reasoning
    if not requested.include:
        return options
    return replace(options, include=True, is_include_optional=requested.is_include_optional)


def normalize_reasoning(
    model: Model, requested: ReasoningOptions, *, set_by_caller: bool, has_tools: bool
) -> NormalizedReasoning:
    """Return options that the model supports, and the warnings for the caller.

    `set_by_caller`: the effort is the caller's, not an alias's. `has_tools`: the request has tools, which some models
    do not support while reasoning.
    """
    is_set = requested.effort is not None or requested.budget_tokens is not None or requested.include
    if not is_set and not has_tools:
        return requested, ()
    options, budget_warnings = _normalize_budget(model, requested)
    options, effort_warnings = _normalize_effort(model, options, set_by_caller=set_by_caller)
    options, tool_warnings = _disable_for_tools(model, options) if has_tools else (options, ())
    options, include_warnings = _normalize_include(model, options)
    return options, (*budget_warnings, *effort_warnings, *tool_warnings, *include_warnings)


def nearest_effort(efforts: Sequence[Effort], requested: Effort, default: Effort | None) -> Effort:
    """Return the level nearest to the requested one; of two equally near, the one nearer to the default or the lower.

    `Effort.NONE` never replaces another level unless it is the only one.

    >>> nearest_effort([Effort.NONE, Effort.LOW, Effort.HIGH], Effort.MINIMAL, None)
    <Effort.LOW: 2>
    """
    if requested is Effort.NONE:
        return min(efforts, key=lambda effort: effort.value)
    levels = [effort for effort in efforts if effort is not Effort.NONE] or efforts
    middle = default.value if default is not None else Effort.NONE.value
    return min(levels, key=lambda effort: (abs(effort.value - requested.value), abs(effort.value - middle)))


def fit_budget(model: Model, options: ReasoningOptions, max_output_tokens: int | None) -> NormalizedReasoning:
    """Limit the budget to less than the output limit, which includes reasoning; remove it if no valid value is left."""
    budget, limit = options.budget_tokens, max_output_tokens or model.max_output_tokens
    if budget is None or model.min_budget_tokens is None or limit is None or budget < limit:
        return options, ()
    if limit - 1 < model.min_budget_tokens:
        message = (
            f"{model.id} requires a budget of at least {model.min_budget_tokens}, which max_output_tokens {limit} "
            "does not allow; the budget was removed."
        )
        return replace(options, budget_tokens=None), (SettingWarning(BUDGET, message),)
    message = f"The budget must be less than max_output_tokens {limit}, got {budget}; {limit - 1} is used."
    return replace(options, budget_tokens=limit - 1), (SettingWarning(BUDGET, message),)


def _normalize_budget(model: Model, options: ReasoningOptions) -> NormalizedReasoning:
    budget, minimum = options.budget_tokens, model.min_budget_tokens
    if budget is None or model.thinking == "unknown":
        return options, ()
    if minimum is None:
        return _effort_for_budget(model, options, budget)
    # The budget takes precedence, so effort none must not disable reasoning.
    effort = None if options.effort is Effort.NONE else options.effort
    if budget >= minimum:
        return replace(options, effort=effort), ()
    message = f"{model.id} requires at least {minimum}, got {budget}; {minimum} is used."
    return replace(options, effort=effort, budget_tokens=minimum), (SettingWarning(BUDGET, message),)


def _effort_for_budget(model: Model, options: ReasoningOptions, budget: int) -> NormalizedReasoning:
    effort = options.effort
    if model.efforts and effort is None:
        effort = nearest_effort(model.efforts, Effort.for_budget(budget), model.default_effort)
    action = f"effort {effort.label} is used instead" if model.efforts and effort else "it was removed"
    message = f"{model.id} does not support a reasoning budget; {action}."
    return replace(options, effort=effort, budget_tokens=None), (SettingWarning(BUDGET, message),)


def _normalize_effort(model: Model, options: ReasoningOptions, *, set_by_caller: bool) -> NormalizedReasoning:
    requested = options.effort
    if requested is None or model.efforts is None or requested in model.efforts:
        return options, ()
    if not model.efforts:
        message = f"{model.id} does not support reasoning; effort {requested.label} was removed."
        is_silent = requested is Effort.NONE or not set_by_caller
        return replace(options, effort=None), () if is_silent else (SettingWarning(EFFORT, message),)
    effort = nearest_effort(model.efforts, requested, model.default_effort)
    message = f"{model.id} does not support effort {requested.label}; the nearest, {effort.label}, is used."
    return replace(options, effort=effort), (SettingWarning(EFFORT, message),) if set_by_caller else ()


def _disable_for_tools(model: Model, options: ReasoningOptions) -> NormalizedReasoning:
    """Disable reasoning that is only the default; explicitly requested reasoning fails the capability check instead."""
    is_excluded = model.tools_while_reasoning is False and model.reasons_at(options.effort)
    if not is_excluded or options.effort is not None:
        return options, ()
    message = f"{model.id} does not support tool calling while reasoning; effort none is used."
    return replace(options, effort=Effort.NONE), (SettingWarning(EFFORT, message),)


def _normalize_include(model: Model, options: ReasoningOptions) -> NormalizedReasoning:
    if not options.include or (model.shows_reasoning is not False and model.thinking != "none"):
        return options, ()
    message = f"{model.id} does not return its reasoning; include was ignored."
    is_silent = options.is_include_optional
    return replace(options, include=False), () if is_silent else (SettingWarning(INCLUDE, message),)
