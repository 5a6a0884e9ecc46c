"""Scores providers relative to each other from the statistics of their models. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .model_stats import ModelSnapshot

HIGH_FAILURE_RATE = 0.02
HIGH_MISMATCH_RATE = 0.05
NOTABLE_RATIO = 1.5
FEW_SAMPLES = 20
MIN_TIME_TO_FIRST_TOKEN = 0.001
"""Seconds. Shorter times count as equal."""

BlendedPrice = Callable[[str, str], float | None]
"""Return the price of a fixed mix of input and output tokens for a provider and model, None if unknown."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Scores of one provider, from 0 to 1, higher is better; None means no data."""

    provider: str
    samples: int
    overall: float | None
    availability: float | None
    speed: float | None
    economy: float | None
    conformance: float | None
    findings: tuple[str, ...]
    models: tuple[ModelSnapshot, ...]


@dataclass(frozen=True, slots=True)
class _ProviderTotals:
    """One provider's means over its models, weighted by samples."""

    name: str
    models: tuple[ModelSnapshot, ...]
    samples: int
    availability: float | None
    time_to_first_token: float | None
    tokens_per_second: float | None
    price: float | None
    conformance: float | None


@dataclass(frozen=True, slots=True)
class _RelativeScore:
    """A provider's distance to the best: `ratio` is how many times worse it is, 1 for the best itself."""

    ratio: float
    best: str


def assess(
    providers: Iterable[str], snapshots: Iterable[ModelSnapshot], blended_price: BlendedPrice
) -> tuple[Assessment, ...]:
    """Compare providers: best first, then by name; those without samples last.

    - availability: successful attempts ÷ attempts.
    - speed: mean of `shortest time to first token ÷ its own` and `its tokens per second ÷ the highest`, or the known
      one of the two. Both are medians.
    - economy: `lowest price ÷ its price` over the models it served. A free provider scores 1 and is not compared to.
    - conformance: outputs that matched their schema on the first try ÷ outputs with a schema.
    - overall: mean of the known scores.
    """
    by_name: defaultdict[str, list[ModelSnapshot]] = defaultdict(list)
    for snapshot in snapshots:
        by_name[snapshot.provider].append(snapshot)
    totals = [_totals(name, by_name.get(name, ()), blended_price) for name in sorted(set(providers))]
    benchmark = _Benchmark(totals)
    assessments = (_assessment(provider, benchmark) for provider in totals)
    return tuple(sorted(assessments, key=lambda one: (not one.samples, -(one.overall or 0.0), one.provider)))


class _Benchmark:
    """The best of the assessed providers in each category."""

    def __init__(self, providers: Sequence[_ProviderTotals]) -> None:
        times = [
            (max(one.time_to_first_token, MIN_TIME_TO_FIRST_TOKEN), one.name)
            for one in providers
            if one.time_to_first_token is not None
        ]
        self._shortest = min(times, default=None)
        self._fastest = max(
            ((one.tokens_per_second, one.name) for one in providers if one.tokens_per_second), default=None
        )
        self._cheapest = min(((one.price, one.name) for one in providers if one.price), default=None)

    def time_to_first_token(self, provider: _ProviderTotals) -> _RelativeScore | None:
        """Compare to the shortest time to first token."""
        if provider.time_to_first_token is None or self._shortest is None:
            return None
        seconds = max(provider.time_to_first_token, MIN_TIME_TO_FIRST_TOKEN)
        return _RelativeScore(seconds / self._shortest[0], self._shortest[1])

    def tokens_per_second(self, provider: _ProviderTotals) -> _RelativeScore | None:
        """Compare to the highest generation speed."""
        if not provider.tokens_per_second or self._fastest is None:
            return None
        return _RelativeScore(self._fastest[0] / provider.tokens_per_second, self._fastest[1])

    def price(self, provider: _ProviderTotals) -> _RelativeScore | None:
        """Compare to the lowest price above zero."""
        if provider.price is None:
            return None
        if not provider.price or self._cheapest is None:
            return _RelativeScore(1.0, provider.name)
        return _RelativeScore(provider.price / self._cheapest[0], self._cheapest[1])


def _totals(name: str, models: Sequence[ModelSnapshot], blended_price: BlendedPrice) -> _ProviderTotals:
    samples, validated = sum(one.samples for one in models), sum(one.validated for one in models)
    return _ProviderTotals(
        name,
        tuple(models),
        samples,
        availability=sum(one.succeeded for one in models) / samples if samples else None,
        time_to_first_token=_mean((one.time_to_first_token_p50, one.samples) for one in models),
        tokens_per_second=_mean((one.tokens_per_second, one.samples) for one in models),
        price=_mean((blended_price(name, one.model), one.samples) for one in models),
        conformance=sum(one.passed for one in models) / validated if validated else None,
    )


def _assessment(provider: _ProviderTotals, benchmark: _Benchmark) -> Assessment:
    first_token = benchmark.time_to_first_token(provider)
    generation = benchmark.tokens_per_second(provider)
    price = benchmark.price(provider)
    speed = _mean((_score(relative), 1) for relative in (first_token, generation))
    scores = (provider.availability, speed, _score(price), provider.conformance)
    return Assessment(
        provider.name,
        provider.samples,
        _mean((score, 1) for score in scores),
        *scores,
        findings=tuple(_findings(provider, first_token, generation, price)),
        models=provider.models,
    )


def _findings(
    provider: _ProviderTotals,
    first_token: _RelativeScore | None,
    generation: _RelativeScore | None,
    price: _RelativeScore | None,
) -> Iterator[str]:
    if provider.samples < FEW_SAMPLES:
        yield f"only {_attempts(provider.samples)} in this window" if provider.samples else "no attempts in this window"
    if provider.availability is not None and 1 - provider.availability >= HIGH_FAILURE_RATE:
        yield f"{_percent(1 - provider.availability)} of attempts failed"
    if first_token is not None and first_token.ratio >= NOTABLE_RATIO:
        yield f"time to first token is {first_token.ratio:.1f} times that of {first_token.best}"
    if generation is not None and generation.ratio >= NOTABLE_RATIO:
        yield f"generates tokens {generation.ratio:.1f} times slower than {generation.best}"
    if price is not None and price.ratio >= NOTABLE_RATIO:
        yield f"costs {price.ratio:.1f} times as much as {price.best}"
    if provider.conformance is not None and 1 - provider.conformance >= HIGH_MISMATCH_RATE:
        yield f"{_percent(1 - provider.conformance)} of structured outputs did not match the schema on the first try"


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _score(relative: _RelativeScore | None) -> float | None:
    return 1 / relative.ratio if relative is not None else None


def _mean(weighted: Iterable[tuple[float | None, int]]) -> float | None:
    """Return the weighted mean of the known values, None without any."""
    known = [(value, weight) for value, weight in weighted if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
