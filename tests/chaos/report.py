"""Measurements with their limits, and violations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number. `limit` is its maximum, or its minimum if `is_minimum`; None if it is only reported."""

    name: str
    value: float
    limit: float | None = None
    is_minimum: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the value is within its limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.is_minimum else self.value <= self.limit


@dataclass(slots=True)
class Report:
    """Measurements and violations of one part of a chaos run."""

    measurements: list[Measurement] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def record(self, name: str, value: float) -> None:
        """Report a number without a limit."""
        self.measurements.append(Measurement(name, value))

    def at_most(self, name: str, value: float, limit: float) -> None:
        """Report a number that must not exceed the limit."""
        self.measurements.append(Measurement(name, value, limit))

    def at_least(self, name: str, value: float, limit: float) -> None:
        """Report a number that must reach the limit."""
        self.measurements.append(Measurement(name, value, limit, is_minimum=True))

    def violation(self, description: str) -> None:
        """Report something that must never happen."""
        self.violations.append(description)

    def merge(self, other: Report) -> None:
        """Add the measurements and violations of another report."""
        self.measurements += other.measurements
        self.violations += other.violations

    @property
    def passed(self) -> bool:
        """Whether every limit is met and nothing was violated."""
        return not self.violations and all(measurement.is_met for measurement in self.measurements)


def table(measurements: Sequence[Measurement]) -> str:
    """Format the measurements for the terminal."""
    width = max((len(measurement.name) for measurement in measurements), default=10) + 2
    lines = [f"{'name':{width}}{'value':>12}{'limit':>14}  ok"]
    for one in measurements:
        limit = "" if one.limit is None else f"{'≥' if one.is_minimum else '≤'} {one.limit:.6g}"
        lines.append(f"{one.name:{width}}{one.value:12.6g}{limit:>14}  {'yes' if one.is_met else 'NO'}")
    return "\n".join(lines)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share (0 to 1) of the values lies; NaN without values."""
    return sorted(values)[max(round(len(values) * share) - 1, 0)] if values else float("nan")
