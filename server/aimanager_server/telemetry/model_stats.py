"""Latency, speed and reliability of each model over the last hour, for hedging, load balancing and scorecards."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..core.attempts import AttemptRecord
from ..core.handler import Clock

RETENTION_SECONDS = 3600.0
MAX_SAMPLES = 1000
"""Samples kept per model; the oldest are dropped first."""

MAX_MODELS = 256
MIN_SAMPLES = 20
UNCACHED_SAMPLES = 50
"""Up to this number of samples, quantiles are recomputed after each one: sorting is cheap and early samples matter."""
RECOMPUTE_SECONDS = 1.0
"""Maximum age of cached quantiles."""

MIN_GENERATION_SECONDS = 0.05
"""A shorter time from the first content to the end means a single chunk, which does not indicate the speed."""


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """Statistics of one model's attempts. Times are in seconds; None means no data.

    `samples` counts the attempts, `succeeded` those that returned a response. `validated` counts the structured outputs
    and tool calls checked against a schema, `passed` those that matched on the first try.
    """

    provider: str
    model: str
    samples: int
    succeeded: int
    latency_p50: float | None
    latency_p95: float | None
    time_to_first_token_p50: float | None
    time_to_first_token_p95: float | None
    tokens_per_second: float | None
    validated: int
    passed: int


class _AttemptSample(NamedTuple):
    """One finished attempt. `when` is its end; `latency` is None if it failed."""

    when: float
    latency: float | None
    time_to_first_token: float | None
    output_tokens: int
    caller: str

    @property
    def tokens_per_second(self) -> float | None:
        """Return the generation speed, None without tokens or latency."""
        if not self.latency or self.output_tokens <= 0:
            return None
        generation = self.latency - (self.time_to_first_token or 0.0)
        return self.output_tokens / (generation if generation >= MIN_GENERATION_SECONDS else self.latency)


class _ModelSamples:
    """The newest samples of one model, with sorted times that are at most RECOMPUTE_SECONDS old."""

    __slots__ = ("_first_token_times", "_latencies", "_sorted_at", "_sorted_count", "attempts", "validations")

    def __init__(self) -> None:
        self.attempts: deque[_AttemptSample] = deque(maxlen=MAX_SAMPLES)
        self.validations: deque[tuple[float, bool, str]] = deque(maxlen=MAX_SAMPLES)
        self._latencies: list[float] = []
        self._first_token_times: list[float] = []
        self._sorted_at = -math.inf
        self._sorted_count = 0

    def latencies(self, now: float) -> list[float]:
        """Return the sorted latencies of the retention period."""
        self._recompute(now)
        return self._latencies

    def first_token_times(self, now: float) -> list[float]:
        """Return the sorted times to first token of the retention period."""
        self._recompute(now)
        return self._first_token_times

    def _recompute(self, now: float) -> None:
        count = len(self.attempts)
        if now - self._sorted_at >= RECOMPUTE_SECONDS or self._sorted_count < count <= UNCACHED_SAMPLES:
            recent = [sample for sample in self.attempts if sample.when >= now - RETENTION_SECONDS]
            self._latencies = _sorted(sample.latency for sample in recent)
            self._first_token_times = _sorted(sample.time_to_first_token for sample in recent)
            self._sorted_at, self._sorted_count = now, count


class ModelStats:
    """Samples by provider and model: the newest MAX_SAMPLES of the MAX_MODELS used most recently.

    Recording takes constant time. `clock` is monotonic.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: OrderedDict[tuple[str, str], _ModelSamples] = OrderedDict()
        self._in_flight: dict[tuple[str, str], int] = {}

    @property
    def entries(self) -> int:
        """Number of models."""
        return len(self._samples)

    @property
    def samples(self) -> int:
        """Number of samples of all models."""
        return sum(len(one.attempts) + len(one.validations) for one in tuple(self._samples.values()))

    def attempt_started(self, record: AttemptRecord) -> None:
        """Count an attempt as in flight. Call `attempt_ended` exactly once afterwards, whatever the outcome."""
        self._in_flight[record.key] = self._in_flight.get(record.key, 0) + 1

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Count an attempt as no longer in flight and record its results for the model."""
        remaining = self._in_flight.get(record.key, 0) - 1
        if remaining > 0:
            self._in_flight[record.key] = remaining
        else:
            self._in_flight.pop(record.key, None)
        if record.effect == "success":
            output_tokens = record.usage.output_tokens if record.usage else 0
            self.record_success(*record.key, record.latency, record.time_to_first_token, output_tokens, record.caller)
        elif record.effect != "none":
            self.record_failure(*record.key, record.caller)

    def in_flight(self, provider: str, model: str) -> int:
        """Return the number of attempts in flight."""
        return self._in_flight.get((provider, model), 0)

    def record_success(
        self,
        provider: str,
        model: str,
        latency: float,
        time_to_first_token: float | None,
        output_tokens: int,
        caller: str = "",
    ) -> None:
        """Record a complete response.

        Times are in seconds since the start of the attempt. `time_to_first_token` is None if the response was not
        streamed. `output_tokens` is 0 if unknown.
        """
        sample = _AttemptSample(self._clock(), latency, time_to_first_token, output_tokens, caller)
        self._of(provider, model).attempts.append(sample)

    def record_failure(self, provider: str, model: str, caller: str = "") -> None:
        """Record an attempt that failed because of the provider."""
        self._of(provider, model).attempts.append(_AttemptSample(self._clock(), None, None, 0, caller))

    def record_validation(self, provider: str, model: str, passed: bool, caller: str = "") -> None:
        """Record whether a structured output or tool call matched its schema on the first try."""
        self._of(provider, model).validations.append((self._clock(), passed, caller))

    def latency(self, provider: str, model: str, quantile: float, min_samples: int = MIN_SAMPLES) -> float | None:
        """Return the latency at `quantile` (0 to 1) over the last hour, None below `min_samples` responses.

        Cheap enough for every call: the value may be RECOMPUTE_SECONDS old.
        """
        samples = self._samples.get((provider, model))
        latencies = samples.latencies(self._clock()) if samples else []
        return percentile(latencies, quantile) if len(latencies) >= min_samples else None

    def time_to_first_token(
        self, provider: str, model: str, quantile: float = 0.5, min_samples: int = 1
    ) -> float | None:
        """Return the time to first token at `quantile`, None below `min_samples` streamed responses. See `latency`."""
        samples = self._samples.get((provider, model))
        times = samples.first_token_times(self._clock()) if samples else []
        return percentile(times, quantile) if len(times) >= min_samples else None

    def snapshots(self, window: float = RETENTION_SECONDS, caller: str | None = None) -> tuple[ModelSnapshot, ...]:
        """Return the models used in the last `window` seconds, at most an hour, sorted by provider and model.

        With a `caller`, only its own attempts and outputs count.
        """
        since = self._clock() - min(window, RETENTION_SECONDS)
        snapshots = (_snapshot(*key, self._samples[key], since, caller) for key in sorted(self._samples))
        return tuple(snapshot for snapshot in snapshots if snapshot.samples or snapshot.validated)

    def _of(self, provider: str, model: str) -> _ModelSamples:
        key = (provider, model)
        samples = self._samples.get(key)
        if samples is not None:
            self._samples.move_to_end(key)
            return samples
        samples = self._samples[key] = _ModelSamples()
        if len(self._samples) > MAX_MODELS:
            self._samples.popitem(last=False)
        return samples


def percentile(ordered: Sequence[float], quantile: float) -> float | None:
    """Return the value at `quantile` (0 to 1) of sorted values by nearest rank, None without values.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return ordered[max(math.ceil(quantile * len(ordered)) - 1, 0)] if ordered else None


def _snapshot(provider: str, model: str, samples: _ModelSamples, since: float, caller: str | None) -> ModelSnapshot:
    attempts = [one for one in samples.attempts if one.when >= since and caller in (None, one.caller)]
    validations = [passed for when, passed, who in samples.validations if when >= since and caller in (None, who)]
    latencies = _sorted(sample.latency for sample in attempts)
    first_token_times = _sorted(sample.time_to_first_token for sample in attempts)
    return ModelSnapshot(
        provider,
        model,
        samples=len(attempts),
        succeeded=len(latencies),
        latency_p50=percentile(latencies, 0.5),
        latency_p95=percentile(latencies, 0.95),
        time_to_first_token_p50=percentile(first_token_times, 0.5),
        time_to_first_token_p95=percentile(first_token_times, 0.95),
        tokens_per_second=percentile(_sorted(sample.tokens_per_second for sample in attempts), 0.5),
        validated=len(validations),
        passed=sum(validations),
    )


def _sorted(values: Iterable[float | None]) -> list[float]:
    return sorted(value for value in values if value is not None)
