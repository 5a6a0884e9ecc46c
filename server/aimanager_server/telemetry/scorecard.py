"""Says how good providers were beside one another, by the figures of their models. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .model_stats import ModelFigures

FAILING = 0.02
MISSING = 0.05
BEHIND = 1.5
FEW_SAMPLES = 20
LEAST_FIRST_TOKEN = 0.001
"""Seconds; answers that begin sooner all begin at once."""

MixedPrice = Callable[[str, str], float | None]
"""What an equal mix of tokens costs at a provider and model, in any one unit; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """How good a provider was. Scores are from 0 to 1, the higher the better, None where nothing is to tell by."""

    provider: str
    samples: int
    overall: float | None
    availability: float | None
    speed: float | None
    economy: float | None
    conformance: float | None
    findings: tuple[str, ...]
    models: tuple[ModelFigures, ...]


@dataclass(frozen=True, slots=True)
class _Provider:
    """What is known of a provider over all its models: means, each model weighing as much as it has samples."""

    name: str
    models: tuple[ModelFigures, ...]
    samples: int
    availability: float | None
    first_token: float | None
    pace: float | None
    price: float | None
    conformance: float | None


@dataclass(frozen=True, slots=True)
class _Lag:
    """How many times worse than the best a provider is, 1 where it is the best; and who that is."""

    times: float
    best: str


def assess(
    providers: Iterable[str], figures: Iterable[ModelFigures], mixed_price: MixedPrice
) -> tuple[Assessment, ...]:
    """The best first, equals by name; those without samples last, by name.

    - availability: answers ÷ attempts.
    - speed: the mean of `fastest first token ÷ its first token` and `its tokens a second ÷ most tokens a second`, of
      which one may be unknown. Both are medians.
    - economy: `cheapest price ÷ its price`, of the models it was asked for; who is free has 1, and is not compared to.
    - conformance: outputs that met their schema at once ÷ outputs that had one.
    - overall: the mean of those known.
    """
    by_name: defaultdict[str, list[ModelFigures]] = defaultdict(list)
    for row in figures:
        by_name[row.provider].append(row)
    asked = [_provider(name, by_name.get(name, ()), mixed_price) for name in sorted(set(providers))]
    rivals = _Rivals(asked)
    assessed = (_assessment(one, rivals) for one in asked)
    return tuple(sorted(assessed, key=lambda one: (not one.samples, -(one.overall or 0.0), one.provider)))


class _Rivals:
    """All that are assessed together, and the best of them at each thing."""

    def __init__(self, providers: Sequence[_Provider]) -> None:
        begins = [
            (max(one.first_token, LEAST_FIRST_TOKEN), one.name) for one in providers if one.first_token is not None
        ]
        self._soonest = min(begins, default=None)
        self._fastest = max(((one.pace, one.name) for one in providers if one.pace), default=None)
        self._cheapest = min(((one.price, one.name) for one in providers if one.price), default=None)

    def first_token(self, one: _Provider) -> _Lag | None:
        """How much later it begins than the soonest."""
        if one.first_token is None or self._soonest is None:
            return None
        return _Lag(max(one.first_token, LEAST_FIRST_TOKEN) / self._soonest[0], self._soonest[1])

    def pace(self, one: _Provider) -> _Lag | None:
        """How much slower it writes than the fastest."""
        if not one.pace or self._fastest is None:
            return None
        return _Lag(self._fastest[0] / one.pace, self._fastest[1])

    def price(self, one: _Provider) -> _Lag | None:
        """How much dearer it is than the cheapest that takes money."""
        if one.price is None:
            return None
        if not one.price or self._cheapest is None:
            return _Lag(1.0, one.name)
        return _Lag(one.price / self._cheapest[0], self._cheapest[1])


def _provider(name: str, models: Sequence[ModelFigures], mixed_price: MixedPrice) -> _Provider:
    samples, judged = sum(one.samples for one in models), sum(one.judged for one in models)
    return _Provider(
        name,
        tuple(models),
        samples,
        availability=sum(one.answered for one in models) / samples if samples else None,
        first_token=_mean((one.first_token_p50, one.samples) for one in models),
        pace=_mean((one.tokens_per_second, one.samples) for one in models),
        price=_mean((mixed_price(name, one.model), one.samples) for one in models),
        conformance=sum(one.met for one in models) / judged if judged else None,
    )


def _assessment(one: _Provider, rivals: _Rivals) -> Assessment:
    first_token, pace, price = rivals.first_token(one), rivals.pace(one), rivals.price(one)
    speed = _mean((_score(lag), 1) for lag in (first_token, pace))
    economy = _score(price)
    scores = (one.availability, speed, economy, one.conformance)
    return Assessment(
        one.name,
        one.samples,
        _mean((score, 1) for score in scores),
        *scores,
        findings=tuple(_findings(one, first_token, pace, price)),
        models=one.models,
    )


def _findings(one: _Provider, first_token: _Lag | None, pace: _Lag | None, price: _Lag | None) -> Iterator[str]:
    if one.samples < FEW_SAMPLES:
        yield f"has {_attempts(one.samples)} to tell by" if one.samples else "was not asked in this window"
    if one.availability is not None and 1 - one.availability >= FAILING:
        yield f"fails {_percent(1 - one.availability)} of its calls"
    if first_token is not None and first_token.times >= BEHIND:
        yield f"begins to answer {first_token.times:.1f} times slower than {first_token.best}"
    if pace is not None and pace.times >= BEHIND:
        yield f"writes {pace.times:.1f} times slower than {pace.best}"
    if price is not None and price.times >= BEHIND:
        yield f"costs {price.times:.1f} times as much as {price.best}"
    if one.conformance is not None and 1 - one.conformance >= MISSING:
        yield f"misses the schema in {_percent(1 - one.conformance)} of its structured answers"


def _attempts(count: int) -> str:
    return "only 1 attempt" if count == 1 else f"only {count} attempts"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _score(lag: _Lag | None) -> float | None:
    return 1 / lag.times if lag is not None else None


def _mean(weighed: Iterable[tuple[float | None, int]]) -> float | None:
    """The mean of the values that are known, by weight; None where none is."""
    known = [(value, weight) for value, weight in weighed if value is not None and weight]
    weights = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / weights if weights else None
