"""What was measured, beside what it may be, and what was found wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, and the most (or, where `least`, the least) that it may be; None where it is only told."""

    name: str
    value: float
    limit: float | None = None
    least: bool = False

    @property
    def is_met(self) -> bool:
        """Within its limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.least else self.value <= self.limit


@dataclass(slots=True)
class Report:
    """Figures and violations of one part."""

    figures: list[Figure] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def told(self, name: str, value: float) -> None:
        """A number without a limit."""
        self.figures.append(Figure(name, value))

    def at_most(self, name: str, value: float, limit: float) -> None:
        """A number that may not be larger."""
        self.figures.append(Figure(name, value, limit))

    def at_least(self, name: str, value: float, limit: float) -> None:
        """A number that may not be smaller."""
        self.figures.append(Figure(name, value, limit, least=True))

    def violated(self, what: str) -> None:
        """Something that must never happen did."""
        self.violations.append(what)

    def add(self, other: Report) -> None:
        """Take over what another says."""
        self.figures += other.figures
        self.violations += other.violations

    @property
    def is_good(self) -> bool:
        """Everything is as it should be."""
        return not self.violations and all(figure.is_met for figure in self.figures)


def table(figures: Sequence[Figure]) -> str:
    """The figures, to be read by people."""
    width = max((len(figure.name) for figure in figures), default=10) + 2
    lines = [f"{'name':{width}}{'value':>12}{'limit':>14}  ok"]
    for one in figures:
        limit = "" if one.limit is None else f"{'≥' if one.least else '≤'} {one.limit:.6g}"
        lines.append(f"{one.name:{width}}{one.value:12.6g}{limit:>14}  {'yes' if one.is_met else 'NO'}")
    return "\n".join(lines)


def at_share(values: Sequence[float], share: float) -> float:
    """What that share (0 to 1) of the values stays below; not a number without any."""
    return sorted(values)[max(round(len(values) * share) - 1, 0)] if values else float("nan")
