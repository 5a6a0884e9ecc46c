"""Filter JSON as text, so that it stays valid and everything else in it stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

from .filter_run import SLICE_CHARACTERS, TEXT_COST, FilterRun
from .scanner import Rule

LITERAL = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|-?[0-9][0-9.eE+-]*+', re.DOTALL)
"""A string, also one that does not end, or a number."""

SEPARATOR = "\n\0\n"
"""Between strings that are searched together. Nothing but a pattern of the operator can match across it."""

DECODER = json.JSONDecoder(strict=False)

Place = tuple[int, int, Rule]


def filter_json(run: FilterRun, field: str, text: str) -> str:
    """Return JSON with placeholders in its strings, keys included; a number becomes a string. Raises Blocked.

    Invalid JSON is filtered too. What strings contain is searched without its escapes.
    """
    places = list(run.find(field, text))
    if not places and "\\" not in text:
        return text
    return "".join(_pieces(run, field, text, places))


def _pieces(run: FilterRun, field: str, text: str, places: Sequence[Place]) -> Iterator[str]:
    position = index = written = 0
    for literals in _steps(text):
        values = _decoded(literals)
        suspects = _suspects(run, values)
        for literal in literals:
            start, end = literal.span()
            while index < len(places) and places[index][1] <= start:
                index += 1
            first = index
            while index < len(places) and places[index][0] < end:
                index += 1
            own = places[first:index]
            if not own and start not in suspects:
                continue
            yield _masked(run, field, text, position, start, places[written:first])
            value = values.get(start)
            masked = value if value is None or start not in suspects else run.text(field, value)
            yield _masked_literal(run, field, text, literal, own, value, masked)
            position, written = end, index
        run.spend(SLICE_CHARACTERS)
    yield _masked(run, field, text, position, len(text), places[written:])


def _steps(text: str) -> Iterator[list[re.Match[str]]]:
    """Yield the literals, as many at a time as make one step of work."""
    step, cost = list[re.Match[str]](), 0
    for literal in LITERAL.finditer(text):
        step.append(literal)
        cost += literal.end() - literal.start() + (TEXT_COST if "\\" in literal[0] else 1)
        if cost >= SLICE_CHARACTERS:
            yield step
            step, cost = [], 0
    yield step


def _decoded(literals: Sequence[re.Match[str]]) -> dict[int, str]:
    """Return what the valid strings with escapes contain, by where they start."""
    values: dict[int, str] = {}
    for literal in literals:
        if "\\" in literal[0]:
            with suppress(ValueError):
                values[literal.start()] = DECODER.decode(literal[0] if _is_closed(literal) else literal[0] + '"')
    return values


def _suspects(run: FilterRun, values: dict[int, str]) -> set[int]:
    """Return where the strings start in which something may be found. They are searched together, which is cheaper."""
    suspects = {start for start, value in values.items() if len(value) > SLICE_CHARACTERS}
    short = [(start, value) for start, value in values.items() if start not in suspects]
    found = iter(run.scanner.findings(SEPARATOR.join(value for _, value in short)))
    finding, position = next(found, None), 0
    for start, value in short:
        end = position + len(value)
        while finding is not None and finding.end <= position:
            finding = next(found, None)
        if finding is not None and finding.start < end:
            suspects.add(start)
        position = end + len(SEPARATOR)
    return suspects


def _is_closed(literal: re.Match[str]) -> bool:
    return len(literal[0]) > 1 and literal[0].endswith('"')


def _masked_literal(
    run: FilterRun,
    field: str,
    text: str,
    literal: re.Match[str],
    places: Sequence[Place],
    value: str | None,
    masked: str | None,
) -> str:
    """Return a literal with placeholders. `value` is what a valid string with escapes contains, also `masked`."""
    start, end = literal.span()
    if text[start] != '"':
        return f'"{run.placeholder(field, places[0][2], literal[0])}"'
    is_closed = _is_closed(literal)
    if value is None or masked is None:
        return _masked(run, field, text, start, end, places, quotes=(1, int(is_closed)))
    if masked == value:
        if not places:
            return literal[0]
        # Only its name says that the value is secret.
        masked = run.placeholder(field, places[0][2], value)
    encoded = json.dumps(masked, ensure_ascii=not masked.isprintable())
    return encoded if is_closed else encoded[:-1]


def _masked(
    run: FilterRun,
    field: str,
    text: str,
    start: int,
    end: int,
    places: Sequence[Place],
    quotes: tuple[int, int] = (0, 0),
) -> str:
    """Return a part of the text with placeholders, but with its quotes."""
    pieces, position = [text[start : start + quotes[0]]], start + quotes[0]
    last = end - quotes[1]
    for first, until, rule in places:
        first, until = max(first, position), min(until, last)
        if first < until:
            pieces += text[position:first], run.placeholder(field, rule, text[first:until])
            position = until
    pieces += text[position:last], text[last:end]
    return "".join(pieces)
