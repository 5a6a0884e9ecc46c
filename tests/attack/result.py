"""The result of an attack: waits of the victim, memory of the server, what the attacker received, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from tests.attack.attack import Attack, Received
from tests.attack.victim import Sample
from tests.chaos.report import quantile

MAX_SHOWN_OUTCOMES = 3


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the victim's calls took, in milliseconds. `failed` counts those that were not answered with OK."""

    calls: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    worst_kind: str
    failed: dict[str, int]


def waits_of(samples: Sequence[Sample]) -> Waits:
    """Summarize samples, of which at least one is needed."""
    seconds = [sample.seconds for sample in samples]
    worst = max(samples, key=lambda sample: sample.seconds)
    failed = Counter(f"{sample.kind}: {sample.outcome}" for sample in samples if sample.outcome != "OK")
    p50, p99 = 1000 * quantile(seconds, 0.5), 1000 * quantile(seconds, 0.99)
    return Waits(len(samples), p50, p99, 1000 * worst.seconds, worst.kind, dict(failed))


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the server and its child processes in MiB: before, at most, and after the attack."""

    before: float
    peak: float
    after: float


@dataclass(slots=True)
class Result:
    """What was measured of one attack. `skipped` says why it was not run."""

    attack: Attack
    seconds: float = 0.0
    waits: Waits | None = None
    memory: Memory | None = None
    received: Received = field(default_factory=Received)
    baseline_ms: float = 0.0
    tries: int = 1
    failures: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def max_wait_ms(self) -> float | None:
        """The bound of the victim's waits."""
        added = self.attack.max_added_wait_ms
        return None if added is None else self.baseline_ms + added

    @property
    def excess_wait_ms(self) -> float:
        """By how much the worst wait exceeds its bound, 0 if it does not."""
        if self.waits is None or self.max_wait_ms is None:
            return 0.0
        return max(self.waits.worst_ms - self.max_wait_ms, 0.0)

    def exceeded(self) -> list[str]:
        """Return a sentence for each bound that was exceeded."""
        return [] if self.skipped else [*self.failures, *self._waits_exceeded(), *self._bounds_exceeded()]

    def _waits_exceeded(self) -> Iterator[str]:
        if self.waits is None:
            return
        if self.excess_wait_ms:
            yield (
                f"a {self.waits.worst_kind} of another caller took {self.waits.worst_ms:.0f} ms, "
                f"at most {self.max_wait_ms:.0f} ms are allowed"
            )
        for outcome, count in self.waits.failed.items():
            yield f"{count} of {self.waits.calls} calls of another caller failed: {outcome}"

    def _bounds_exceeded(self) -> Iterator[str]:
        memory, attack = self.memory, self.attack
        if memory is not None and attack.max_peak_mib is not None and memory.peak > attack.max_peak_mib:
            yield f"RSS reached {memory.peak:.0f} MiB, at most {attack.max_peak_mib:.0f} MiB are allowed"
        kept = 0.0 if memory is None else memory.after - memory.before
        if attack.max_kept_mib is not None and kept > attack.max_kept_mib:
            yield f"{kept:.0f} MiB were kept after the attack, at most {attack.max_kept_mib:.0f} MiB are allowed"
        for name, limit in attack.max_figures.items():
            value = self.received.figures.get(name)
            if value is None or value > limit:
                yield f"{name}: {value}, at most {limit:g} are allowed"

    def to_json(self) -> dict[str, object]:
        """Return the result with its bounds."""
        return {
            "name": self.attack.name,
            "sends": self.attack.sends,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "tries": self.tries,
            "waits": None if self.waits is None else asdict(self.waits),
            "baseline_worst_ms": self.baseline_ms,
            "max_wait_ms": self.max_wait_ms,
            "rss_mib": None if self.memory is None else asdict(self.memory),
            "max_peak_mib": self.attack.max_peak_mib,
            "max_kept_mib": self.attack.max_kept_mib,
            "received": dict(self.received.outcomes),
            "figures": self.received.figures,
            "max_figures": dict(self.attack.max_figures),
            "exceeded": self.exceeded(),
        }


def table(results: Sequence[Result]) -> str:
    """Format the results for a terminal, then a line for each bound that was exceeded."""
    rows = [HEADER, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    lines += [f"EXCEEDED {one.attack.name}: {text}" for one in results for text in one.exceeded()]
    lines += [f"SKIPPED {one.attack.name}: {one.skipped}" for one in results if one.skipped]
    return "\n".join(lines)


HEADER = (
    *("attack", "seconds", "p50 ms", "p99 ms", "worst ms", "bound", "RSS before", "peak MiB", "after", "bound"),
    *("verdict", "received"),
)
TEXT_COLUMNS = {0, 10, 11}


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.ljust(width) if column in TEXT_COLUMNS else text.rjust(width)


def _row(one: Result) -> tuple[str, ...]:
    waits, memory, attack = one.waits, one.memory, one.attack
    verdict = "skipped" if one.skipped else "EXCEEDED" if one.exceeded() else "ok"
    wait_values = (waits.p50_ms, waits.p99_ms, waits.worst_ms) if waits is not None else (None,) * 3
    memory_values = (memory.before, memory.peak, memory.after) if memory is not None else (None,) * 3
    numbers = (*wait_values, one.max_wait_ms, *memory_values, attack.max_peak_mib)
    return (attack.name, f"{one.seconds:.1f}", *map(_number, numbers), verdict, _received(one.received))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _received(received: Received) -> str:
    outcomes = received.outcomes.most_common()
    shown = [f"{count} {outcome}" for outcome, count in outcomes[:MAX_SHOWN_OUTCOMES]]
    if others := sum(count for _, count in outcomes[MAX_SHOWN_OUTCOMES:]):
        shown.append(f"{others} other")
    return ", ".join([*shown, *(f"{name} {value:.0f}" for name, value in received.figures.items())])
