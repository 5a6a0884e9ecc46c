"""How good each model of each provider was in the last hour: what hedging, routing and assessments go by."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..core.handler import Clock

HOUR_SECONDS = 3600.0
MOST_SAMPLES = 1000
"""The newest of each model that are kept."""

MOST_MODELS = 256
LEAST_SAMPLES = 20
FEW_SAMPLES = 50
"""Up to so many, every sample counts at once: sorting them is quick, and the first ones say most."""
RECKON_SECONDS = 1.0
"""How old a percentile that is asked for at every call may be."""

SHORTEST_WRITING = 0.05
"""Seconds. What came sooner after its beginning came in one piece, which does not tell how fast it was written."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What the attempts at one model showed; times in seconds, None where there is nothing to tell by.

    `samples` counts the attempts, of which `answered` ended in an answer. `judged` counts the structured outputs and
    tool calls, of which `met` met their schema at once.
    """

    provider: str
    model: str
    samples: int
    answered: int
    latency_p50: float | None
    latency_p95: float | None
    first_token_p50: float | None
    first_token_p95: float | None
    tokens_per_second: float | None
    judged: int
    met: int


class _Attempt(NamedTuple):
    """When it ended, in how many seconds (None: it failed), after how many it began to answer, what it produced."""

    when: float
    latency: float | None
    first_token: float | None
    output_tokens: int

    @property
    def pace(self) -> float | None:
        """Tokens a second, None where none or no time is known."""
        if not self.latency or self.output_tokens <= 0:
            return None
        writing = self.latency - (self.first_token or 0.0)
        return self.output_tokens / (writing if writing >= SHORTEST_WRITING else self.latency)


class _Record:
    """The newest samples of one model, and its sorted times as they were at most RECKON_SECONDS ago."""

    __slots__ = ("_first_tokens", "_latencies", "_reckoned_at", "_reckoned_of", "attempts", "verdicts")

    def __init__(self) -> None:
        self.attempts: deque[_Attempt] = deque(maxlen=MOST_SAMPLES)
        self.verdicts: deque[tuple[float, bool]] = deque(maxlen=MOST_SAMPLES)
        self._latencies: list[float] = []
        self._first_tokens: list[float] = []
        self._reckoned_at = -math.inf
        self._reckoned_of = 0

    def latencies(self, now: float) -> list[float]:
        """Of the answers of the last hour, sorted."""
        self._reckon(now)
        return self._latencies

    def first_tokens(self, now: float) -> list[float]:
        """Of the answers of the last hour, sorted."""
        self._reckon(now)
        return self._first_tokens

    def _reckon(self, now: float) -> None:
        count = len(self.attempts)
        if now - self._reckoned_at >= RECKON_SECONDS or self._reckoned_of < count <= FEW_SAMPLES:
            lately = [one for one in self.attempts if one.when >= now - HOUR_SECONDS]
            self._latencies = _sorted(one.latency for one in lately)
            self._first_tokens = _sorted(one.first_token for one in lately)
            self._reckoned_at, self._reckoned_of = now, count


class Quality:
    """Samples by provider and model: the newest MOST_SAMPLES of the MOST_MODELS that were used last.

    Telling it anything takes the same short time always. `clock` is monotonic.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: OrderedDict[tuple[str, str], _Record] = OrderedDict()
        self._under_way: dict[tuple[str, str], int] = {}

    def began(self, provider: str, model: str) -> None:
        """An attempt is under way; whoever says so says `ended` once, whatever became of it."""
        key = (provider, model)
        self._under_way[key] = self._under_way.get(key, 0) + 1

    def ended(self, provider: str, model: str) -> None:
        """An attempt is no longer under way."""
        key = (provider, model)
        left = self._under_way.get(key, 0) - 1
        if left > 0:
            self._under_way[key] = left
        else:
            self._under_way.pop(key, None)

    def in_flight(self, provider: str, model: str) -> int:
        """Attempts under way."""
        return self._under_way.get((provider, model), 0)

    def answered(
        self, provider: str, model: str, latency: float, first_token: float | None, output_tokens: int
    ) -> None:
        """An attempt ended in an answer after `latency` seconds.

        `first_token` is the seconds to its first content, None where it was not streamed; `output_tokens` is what it
        wrote since then, 0 where nobody counted.
        """
        attempt = _Attempt(self._clock(), latency, first_token, output_tokens)
        self._record(provider, model).attempts.append(attempt)

    def failed(self, provider: str, model: str) -> None:
        """An attempt failed by the provider's fault."""
        self._record(provider, model).attempts.append(_Attempt(self._clock(), None, None, 0))

    def conformed(self, provider: str, model: str, met: bool) -> None:
        """A structured output or tool call met its schema at once, or did not."""
        self._record(provider, model).verdicts.append((self._clock(), met))

    def latency(self, provider: str, model: str, share: float, least_samples: int = LEAST_SAMPLES) -> float | None:
        """Seconds that `share` (0 to 1) of the last hour's answers stayed under; None below so many answers.

        As it was a second ago at most, so that it may be asked for at every call.
        """
        record = self._records.get((provider, model))
        latencies = record.latencies(self._clock()) if record else []
        return percentile(latencies, share) if len(latencies) >= least_samples else None

    def first_token(self, provider: str, model: str, share: float = 0.5, least_samples: int = 1) -> float | None:
        """Seconds in which `share` of the last hour's streamed answers had begun; None below so many. As `latency`."""
        record = self._records.get((provider, model))
        first_tokens = record.first_tokens(self._clock()) if record else []
        return percentile(first_tokens, share) if len(first_tokens) >= least_samples else None

    def rows(self, window: float = HOUR_SECONDS) -> tuple[ModelFigures, ...]:
        """Figures of the last `window` seconds, an hour at most, by provider and model; those with samples only."""
        since = self._clock() - min(window, HOUR_SECONDS)
        rows = (_figures(provider, model, self._records[provider, model], since) for provider, model in self._known())
        return tuple(row for row in rows if row.samples or row.judged)

    def _known(self) -> list[tuple[str, str]]:
        return sorted(self._records)

    def _record(self, provider: str, model: str) -> _Record:
        key = (provider, model)
        record = self._records.get(key)
        if record is not None:
            self._records.move_to_end(key)
            return record
        record = self._records[key] = _Record()
        if len(self._records) > MOST_MODELS:
            self._records.popitem(last=False)
        return record


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value that `share` (0 to 1) of sorted values stay under, by nearest rank; None without values.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else None


def _figures(provider: str, model: str, record: _Record, since: float) -> ModelFigures:
    attempts = [one for one in record.attempts if one.when >= since]
    verdicts = [met for when, met in record.verdicts if when >= since]
    latencies = _sorted(one.latency for one in attempts)
    first_tokens = _sorted(one.first_token for one in attempts)
    return ModelFigures(
        provider,
        model,
        samples=len(attempts),
        answered=len(latencies),
        latency_p50=percentile(latencies, 0.5),
        latency_p95=percentile(latencies, 0.95),
        first_token_p50=percentile(first_tokens, 0.5),
        first_token_p95=percentile(first_tokens, 0.95),
        tokens_per_second=percentile(_sorted(one.pace for one in attempts), 0.5),
        judged=len(verdicts),
        met=sum(verdicts),
    )


def _sorted(values: Iterable[float | None]) -> list[float]:
    return sorted(value for value in values if value is not None)
