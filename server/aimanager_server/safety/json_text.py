"""Filter JSON as text, so that it stays valid and everything else in it stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from .filter_run import FilterRun
from .scanner import Rule

LITERAL = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|-?[0-9][0-9.eE+-]*+', re.DOTALL)
"""A string, also one that does not end, or a number."""

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
    position = index = 0
    for literal in LITERAL.finditer(text):
        start, end = literal.span()
        first = index
        while index < len(places) and places[index][0] < end:
            index += 1
        own = [place for place in places[first:index] if place[1] > start]
        is_escaped = "\\" in literal[0]
        if not own and not is_escaped:
            continue
        outside = [place for place in places[first:index] if place[1] <= start]
        yield _masked(run, field, text, position, start, outside)
        yield _masked_literal(run, field, text, literal, own, is_escaped=is_escaped)
        position = end
    yield _masked(run, field, text, position, len(text), places[index:])


def _masked_literal(
    run: FilterRun, field: str, text: str, literal: re.Match[str], places: Sequence[Place], *, is_escaped: bool
) -> str:
    start, end = literal.span()
    if text[start] != '"':
        return f'"{run.placeholder(field, places[0][2], literal[0])}"'
    is_closed = end - start > 1 and literal[0].endswith('"')
    if not is_escaped:
        return _masked(run, field, text, start, end, places, quotes=(1, int(is_closed)))
    try:
        value = json.loads(literal[0] if is_closed else literal[0] + '"', strict=False)
    except ValueError:
        return _masked(run, field, text, start, end, places, quotes=(1, int(is_closed)))
    masked = run.text(field, value)
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
