"""Find the directives of a text in time linear in its length, in short steps."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from types import MappingProxyType
from typing import NamedTuple

from ...core.errors import FieldViolation, InvalidRequest

DIRECTIVES = MappingProxyType(
    {
        "reply": "[[reply: Hello]]",
        "words": "[[words: 200]]",
        "reasoning": "[[reasoning: I think]]",
        "think": "[[think: 5]]",
        "tool": '[[tool: get_weather {"city": "Rome"}]]',
        "then": "[[then]]",
        "rate": "[[rate: 50]]",
        "latency": "[[latency: 0.2 times=1]]",
        "error": "[[error: PROVIDER_RATE_LIMITED retry_after=2 times=1]]",
        "cut": "[[cut: 3 times=1]]",
        "stall": "[[stall: 3 seconds=2 times=1]]",
        "finish": "[[finish: max_tokens]]",
        "usage": "[[usage: 10/20 cache_read=4 cache_write=2 reasoning=5]]",
    }
)
"""An example of every directive, by name."""

MAX_OPENINGS = 50_000
"""Double brackets that are examined; what follows is ordinary text."""

MAX_BRACKETS = 50_000
"""Brackets within one directive."""

WINDOW = 16_384
"""Characters that are searched in one step."""

OPENINGS_PER_STEP = 256

_NAME = re.compile(r"[a-z_]{1,32}")
_BRACKET = re.compile(r"[\[\]]")


class Piece(NamedTuple):
    """A directive, or the text between two of them if `name` is empty. Its value is `text[start:end]`."""

    name: str
    start: int
    end: int


def scan(text: str) -> Iterator[Piece | None]:
    """Yield the pieces of a text in order, and None after each short step of work.

    Raises InvalidRequest for an unknown directive and for one that does not end.

    >>> [piece for piece in scan("Hi [[reply: Yes]]!") if piece]
    [Piece(name='', start=0, end=3), Piece(name='reply', start=11, end=15), Piece(name='', start=17, end=18)]
    """
    start = position = 0
    for opened in range(MAX_OPENINGS):
        opening = yield from _find_opening(text, position)
        if opening < 0:
            break
        if opened % OPENINGS_PER_STEP == 0:
            yield None
        position = opening + 1
        name = _NAME.match(text, opening + 2)
        if name is None:
            continue
        value = name.end() + 1
        if text.startswith("]]", name.end()):
            if name[0] not in DIRECTIVES:
                continue
            value = end = name.end()
        elif not text.startswith(":", name.end()):
            continue
        elif name[0] not in DIRECTIVES:
            raise _unknown(name[0])
        else:
            end = yield from _find_closing(text, value, name[0])
        yield Piece("", start, opening)
        yield Piece(name[0], value, end)
        start = position = end + 2
    yield Piece("", start, len(text))


def malformed(name: str, reason: str) -> InvalidRequest:
    """Return the error for a directive with an invalid value; `reason` says what is wrong."""
    return invalid_script(f"must contain valid mock directives only; {name!r}: {reason} (example: {DIRECTIVES[name]})")


def invalid_script(description: str) -> InvalidRequest:
    """Return the error for a script; `description` completes "messages …"."""
    return InvalidRequest(
        f"messages {description}.",
        violations=(FieldViolation("messages", description),),
        solution="Correct or remove the directive between [[ and ]].",
    )


def _find_opening(text: str, start: int) -> Generator[None, None, int]:
    for window in range(start, len(text), WINDOW):
        found = text.find("[[", window, window + WINDOW + 1)
        if found >= 0:
            return found
        yield
    return -1


def _find_closing(text: str, start: int, name: str) -> Generator[None, None, int]:
    """Return the position of the ']]' that closes a directive. Brackets inside are balanced."""
    depth = brackets = 0
    for window in range(start, len(text), WINDOW):
        for bracket in _BRACKET.finditer(text, window, window + WINDOW):
            if depth == 0 and text.startswith("]]", bracket.start()):
                return bracket.start()
            depth += 1 if bracket[0] == "[" else -1
            brackets += 1
        if brackets > MAX_BRACKETS:
            raise malformed(name, f"must have at most {MAX_BRACKETS} brackets, got at least {brackets}")
        yield
    raise malformed(name, "closing ']]' is missing (brackets inside must be balanced)")


def _unknown(name: str) -> InvalidRequest:
    return invalid_script(
        f"must contain known mock directives only, got {name!r}; known: {', '.join(DIRECTIVES.values())}"
    )
