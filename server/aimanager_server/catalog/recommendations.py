"""Ranks models for a need: what is required decides who comes into question, all else who comes first. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from .model import Capability, Level, Model

SOON = timedelta(days=90)
"""A model that retires within so many days counts less."""

MADE_UP = "mock"
"""The provider that is suggested only where it is named."""

RANKS: Mapping[str, float] = {"latest": 1.0, "reasoning": 1.0, "current": 0.75, "fast": 0.4}
"""How good the answers of what an alias means are: the nearest to a verdict that vendors give."""

UNRANKED = 0.5


class Objective(StrEnum):
    """What matters most."""

    BALANCE = "balance"
    QUALITY = "quality"
    SPEED = "speed"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Wish:
    """A need for a model. `required` and `window` (tokens) have to be met, and are only by what is known."""

    required: frozenset[Capability] = frozenset()
    preferred: frozenset[Capability] = frozenset()
    objective: Objective = Objective.BALANCE
    window: int = 0
    providers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model, how well it fits (0 to 1, comparable within one ranking only), and why, the weightiest first."""

    model: Model
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Point:
    """One side of a model: its weight in the score, how good it is (0 to 1), and that in words."""

    weight: float
    value: float
    reason: str


def suggest(
    models: Iterable[Model], wish: Wish, is_available: Callable[[Model], bool], today: date
) -> tuple[Suggestion, ...]:
    """Every model that meets the wish, best first; equals in the order given."""
    able = [model for model in models if _meets(model, wish, today)]
    dear = _Dearness(able)
    ranked = [_suggestion(list(_points(model, wish, dear, is_available(model), today))) for model in able]
    suggestions = (Suggestion(model, score, reasons) for model, (score, reasons) in zip(able, ranked, strict=True))
    return tuple(sorted(suggestions, key=lambda suggestion: -suggestion.score))


def _meets(model: Model, wish: Wish, today: date) -> bool:
    return (
        (model.provider in wish.providers if wish.providers else model.provider != MADE_UP)
        and model.embedding is None
        and (model.retires is None or model.retires > today)
        and (model.context_window or 0) >= wish.window
        and all(model.can(capability) for capability in wish.required)
    )


class _Dearness:
    """How dear a model is among those in question: 0 the cheapest, 1 the dearest, on a logarithmic scale."""

    def __init__(self, models: Sequence[Model]) -> None:
        costs = [cost for cost in map(_cost, models) if cost is not None]
        self._least, self._most = (min(costs), max(costs)) if costs else (0.0, 0.0)

    def __call__(self, model: Model) -> float | None:
        """None where the price is not known."""
        cost = _cost(model)
        if cost is None:
            return None
        return (cost - self._least) / (self._most - self._least) if self._most > self._least else 0.0


def _cost(model: Model) -> float | None:
    """Of three tokens sent for each one produced, the usual mix."""
    if model.prices is None:
        return None
    rates = model.prices.standard
    return math.log1p(3 * rates.input + rates.output)


def _points(model: Model, wish: Wish, dear: _Dearness, is_available: bool, today: date) -> Iterator[_Point]:
    yield _preferred(model, wish)
    yield from _objective(model, wish.objective, dear(model))
    yield _window(model)
    if is_available:
        yield _Point(0.15, 1.0, "can be called now")
    else:
        yield _Point(0.15, 0.0, f"cannot be called now: {model.provider} has no key here, or is failing")
    if model.retires is not None and model.retires <= today + SOON:
        yield _Point(0.05, 0.0, f"retires on {model.retires.isoformat()}")
    else:
        yield _Point(0.05, 1.0, "")


def _preferred(model: Model, wish: Wish) -> _Point:
    names = sorted(wish.required | wish.preferred)
    has = f"has {', '.join(name for name in names if model.can(name))}" if names else ""
    if not wish.preferred:
        return _Point(0.3, 1.0, has)
    worth = {Level.NATIVE: 1.0, Level.EMULATED: 0.5, Level.NONE: 0.0}
    known = {name: model.capabilities[name].level for name in wish.preferred if name in model.capabilities}
    lacks = sorted(name for name in wish.preferred if not model.can(name))
    reason = "; ".join(filter(None, (has, f"not known to have {', '.join(lacks)}" if lacks else "")))
    return _Point(0.3, sum(worth[level] for level in known.values()) / len(wish.preferred), reason)


def _objective(model: Model, objective: Objective, dearness: float | None) -> Iterator[_Point]:
    cheap = _Point(1.0, 0.0 if dearness is None else 1.0 - dearness, _price_reason(model, dearness))
    sides = {
        Objective.QUALITY: _quality(model, dearness),
        Objective.SPEED: _speed(model, dearness),
        Objective.COST: cheap,
    }
    for side, point in sides.items():
        share = 1 / 3 if objective is Objective.BALANCE else 0.8 if side is objective else 0.1
        yield _Point(0.4 * share, point.value, point.reason)


def _quality(model: Model, dearness: float | None) -> _Point:
    rank = max((RANKS.get(alias, 0.0) for alias in model.aliases), default=0.0) or UNRANKED
    names = " and ".join(f"'{alias}'" for alias in model.aliases)
    # Within one vendor the dearer model is the better one.
    return _Point(1.0, 0.8 * rank + 0.2 * (dearness or 0.0), f"is {model.provider}'s {names} model" if names else "")


def _speed(model: Model, dearness: float | None) -> _Point:
    is_fast = "fast" in model.aliases
    slow = 0.3 if model.thinking == "always" else 0.0
    value = 1.0 if is_fast else max(0.0, 0.8 * (1.0 - (0.5 if dearness is None else dearness)) - slow)
    return _Point(1.0, value, "always thinks before it answers" if slow and not is_fast else "")


def _price_reason(model: Model, dearness: float | None) -> str:
    if model.prices is None or dearness is None:
        return "its price is not known"
    rates = model.prices.standard
    least = ", the least of those that can" if dearness == 0.0 else ""
    return f"costs {_dollars(rates.input)} in and {_dollars(rates.output)} out per million tokens{least}"


def _window(model: Model) -> _Point:
    if model.context_window is None:
        return _Point(0.1, 0.0, "its context window is not known")
    share = min(1.0, math.log2(max(model.context_window, 1)) / 20)
    return _Point(0.1, share, f"reads {model.context_window:,} tokens")


def _suggestion(points: Sequence[_Point]) -> tuple[float, tuple[str, ...]]:
    score = sum(point.weight * point.value for point in points)
    told = sorted((point for point in points if point.reason), key=lambda point: -point.weight)
    return min(1.0, round(score, 6)), tuple(point.reason for point in told)


def _dollars(nanos: int) -> str:
    return f"${nanos / 1e9:.9f}".rstrip("0").rstrip(".")
