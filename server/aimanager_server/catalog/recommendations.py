"""Rank models for a query: requirements filter the models, everything else adds to a score. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from types import MappingProxyType

from .model import Capability, Model, SupportLevel

RETIRES_SOON = timedelta(days=90)
"""A model that retires within this time scores lower."""

MOCK_PROVIDER = "mock"
"""Suggested only if the query names it."""

ALIAS_QUALITY: Mapping[str, float] = MappingProxyType({"latest": 1.0, "reasoning": 1.0, "current": 0.75, "fast": 0.4})
"""Assumed answer quality by alias, the closest thing to a quality rating that vendors publish."""

DEFAULT_QUALITY = 0.5

ALIAS_BALANCE: Mapping[str, float] = MappingProxyType({"current": 1.0, "latest": 0.6, "reasoning": 0.6, "fast": 0.5})
"""How well a model balances quality, speed and cost: `current` is each vendor's model for general use.

Speed is known from the price only. An average of the three alone would always be highest for the cheapest model.
"""

DEFAULT_BALANCE = 0.2


class Objective(StrEnum):
    """The property that has the largest weight in the score."""

    BALANCED = "balanced"
    QUALITY = "quality"
    SPEED = "speed"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class ModelQuery:
    """A query for models. Only known facts satisfy `required` and `min_context_window` (tokens)."""

    required: frozenset[Capability] = frozenset()
    preferred: frozenset[Capability] = frozenset()
    objective: Objective = Objective.BALANCED
    min_context_window: int = 0
    providers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelSuggestion:
    """A model with its score (0 to 1, comparable within one ranking only) and the reasons, by descending weight."""

    model: Model
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Criterion:
    """One component of a score: its weight, its value (0 to 1), and the value in words."""

    weight: float
    value: float
    reason: str


def suggest_models(
    models: Iterable[Model], query: ModelQuery, is_available: Callable[[Model], bool], today: date
) -> tuple[ModelSuggestion, ...]:
    """Return every model that meets the query, best first; models with equal scores keep their order."""
    matching = [model for model in models if _meets(model, query, today)]
    relative_cost = _RelativeCost(matching)
    suggestions = [
        _suggestion(model, list(_criteria(model, query, relative_cost, is_available(model), today)))
        for model in matching
    ]
    return tuple(sorted(suggestions, key=lambda suggestion: -suggestion.score))


def _meets(model: Model, query: ModelQuery, today: date) -> bool:
    return (
        (model.provider in query.providers if query.providers else model.provider != MOCK_PROVIDER)
        and model.embedding is None
        and (model.retires is None or model.retires > today)
        and (model.context_window or 0) >= query.min_context_window
        and all(model.supports(capability) for capability in query.required)
    )


class _RelativeCost:
    """Cost of a model relative to the others of a ranking: 0 the cheapest, 1 the most expensive, logarithmic."""

    def __init__(self, models: Sequence[Model]) -> None:
        costs = [cost for cost in map(_log_cost, models) if cost is not None]
        self._lowest, self._highest = (min(costs), max(costs)) if costs else (0.0, 0.0)

    def __call__(self, model: Model) -> float | None:
        """Return None if the price is unknown."""
        cost = _log_cost(model)
        if cost is None:
            return None
        return (cost - self._lowest) / (self._highest - self._lowest) if self._highest > self._lowest else 0.0


def _log_cost(model: Model) -> float | None:
    """Return the logarithm of the price of three input tokens per output token, a typical ratio."""
    if model.prices is None:
        return None
    rates = model.prices.standard
    return math.log1p(3 * rates.input + rates.output)


def _criteria(
    model: Model, query: ModelQuery, relative_cost: _RelativeCost, is_available: bool, today: date
) -> Iterator[_Criterion]:
    yield _preferred_capabilities(model, query)
    yield from _objective(model, query.objective, relative_cost(model))
    yield _context_window(model)
    if is_available:
        yield _Criterion(0.15, 1.0, "available now")
    else:
        yield _Criterion(0.15, 0.0, f"unavailable now: {model.provider} has no API key or is failing")
    if model.retires is not None and model.retires <= today + RETIRES_SOON:
        yield _Criterion(0.05, 0.0, f"retires on {model.retires.isoformat()}")
    else:
        yield _Criterion(0.05, 1.0, "")


def _preferred_capabilities(model: Model, query: ModelQuery) -> _Criterion:
    names = sorted(query.required | query.preferred)
    supported = f"supports {', '.join(name for name in names if model.supports(name))}" if names else ""
    if not query.preferred:
        return _Criterion(0.3, 1.0, supported)
    values = {SupportLevel.NATIVE: 1.0, SupportLevel.EMULATED: 0.5, SupportLevel.NONE: 0.0}
    levels = [model.capabilities[name].level for name in query.preferred if name in model.capabilities]
    missing = sorted(name for name in query.preferred if not model.supports(name))
    reason = "; ".join(filter(None, (supported, f"no known support for {', '.join(missing)}" if missing else "")))
    return _Criterion(0.3, sum(values[level] for level in levels) / len(query.preferred), reason)


def _objective(model: Model, objective: Objective, relative_cost: float | None) -> Iterator[_Criterion]:
    cheapness = 0.0 if relative_cost is None else 1.0 - relative_cost
    criteria = {
        Objective.QUALITY: _quality(model, relative_cost),
        Objective.SPEED: _speed(model, relative_cost),
        Objective.COST: _Criterion(1.0, cheapness, _price_reason(model, relative_cost)),
    }
    if objective is Objective.BALANCED:
        balance = max((ALIAS_BALANCE.get(alias, 0.0) for alias in model.aliases), default=0.0) or DEFAULT_BALANCE
        yield _Criterion(0.4 * 0.6, balance, "balances quality, speed and cost" if balance == 1.0 else "")
    for name, criterion in criteria.items():
        share = 0.4 / 3 if objective is Objective.BALANCED else 0.8 if name is objective else 0.1
        yield _Criterion(0.4 * share, criterion.value, criterion.reason)


def _quality(model: Model, relative_cost: float | None) -> _Criterion:
    quality = max((ALIAS_QUALITY.get(alias, 0.0) for alias in model.aliases), default=0.0) or DEFAULT_QUALITY
    names = " and ".join(f"'{alias}'" for alias in model.aliases)
    # Of two models of one vendor, the more expensive one is assumed to be better.
    value = 0.8 * quality + 0.2 * (relative_cost or 0.0)
    return _Criterion(1.0, value, f"{model.provider}'s {names} model" if names else "")


def _speed(model: Model, relative_cost: float | None) -> _Criterion:
    is_fast = "fast" in model.aliases
    penalty = 0.3 if model.thinking == "always" else 0.0
    value = 1.0 if is_fast else max(0.0, 0.8 * (1.0 - (0.5 if relative_cost is None else relative_cost)) - penalty)
    return _Criterion(1.0, value, "always reasons before it answers" if penalty and not is_fast else "")


def _price_reason(model: Model, relative_cost: float | None) -> str:
    if model.prices is None or relative_cost is None:
        return "price unknown"
    rates = model.prices.standard
    lowest = ", the lowest price of the matching models" if relative_cost == 0.0 else ""
    return f"costs {_dollars(rates.input)} input and {_dollars(rates.output)} output per million tokens{lowest}"


def _context_window(model: Model) -> _Criterion:
    if model.context_window is None:
        return _Criterion(0.1, 0.0, "context window unknown")
    value = min(1.0, math.log2(max(model.context_window, 1)) / 20)
    return _Criterion(0.1, value, f"context window of {model.context_window:,} tokens")


def _suggestion(model: Model, criteria: Sequence[_Criterion]) -> ModelSuggestion:
    score = sum(criterion.weight * criterion.value for criterion in criteria)
    stated = sorted((criterion for criterion in criteria if criterion.reason), key=lambda one: -one.weight)
    return ModelSuggestion(model, min(1.0, round(score, 6)), tuple(criterion.reason for criterion in stated))


def _dollars(nanos: int) -> str:
    return f"${nanos / 1e9:.9f}".rstrip("0").rstrip(".")
