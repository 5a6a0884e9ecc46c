"""Measured figures: their medians and ratios, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

GATEWAY, ECHO, AGAINST, OFF = "gateway", "echo", "against", "off"
"""The sides of a comparison: the working tree, the bare server under the same load, the other commit, and the working
tree with an optimization off."""

Samples = dict[str, list[float]]
"""The values of each side, one for each round."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity of the gateway, and of the other sides that were measured. `floor` is the compared side."""

    name: str
    unit: str
    samples: Samples = field(repr=False)
    floor: str = ECHO

    def value(self, side: str = GATEWAY) -> float | None:
        """Return the median of a side, None if it was not measured."""
        return median(self.samples[side]) if self.samples.get(side) else None

    def ratio(self, side: str) -> float | None:
        """Return the median over the rounds of gateway / side, None if the side was not measured."""
        if not self.samples.get(side):
            return None
        return median(
            mine / other if other else float("nan")
            for mine, other in zip(self.samples[GATEWAY], self.samples[side], strict=True)
        )

    def to_json(self) -> dict[str, object]:
        """Return the figure with its samples."""
        return {
            "name": self.name,
            "value": self.value(),
            "unit": self.unit,
            "floor": self.value(self.floor),
            "ratio": self.ratio(self.floor),
            "against": self.value(AGAINST),
            "against_ratio": self.ratio(AGAINST),
            "samples": self.samples,
        }


def table(title: str, figures: Iterable[Figure], floor: str = "floor") -> str:
    """Return the figures as a table, without the columns that have no values."""
    figures = tuple(figures)
    header = [title, "value", "unit", floor, "ratio", "against", "ratio"]
    rows = [[_cell(cell) for cell in _cells(figure)] for figure in figures]
    used = [column for column in range(len(header)) if any(row[column] for row in rows)]
    lines = [[cells[column] for column in used] for cells in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(used))]
    text_columns = {used.index(0), used.index(2)}
    return "\n".join(_line(line, widths, text_columns) for line in lines)


def _cells(figure: Figure) -> Sequence[str | float | None]:
    against = figure.value(AGAINST), figure.ratio(AGAINST)
    return figure.name, figure.value(), figure.unit, figure.value(figure.floor), figure.ratio(figure.floor), *against


def _cell(cell: str | float | None) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else f"{cell:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int], text_columns: set[int]) -> str:
    aligned = (
        cell.ljust(width) if column in text_columns else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()
