"""Estimate the size of a compiled regular expression without compiling it.

Compiling takes time and memory in proportion to that size, and nothing else can run meanwhile. The syntax is that of
the `regex` crate. The estimate may be too high, and is never much too low; the compiler rejects invalid patterns.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SIZE = 10**9
"""Larger sizes are reported as this one, to keep the numbers small."""

LITERAL_SIZE = 1
NON_ASCII_SIZE = 6
ASCII_PER_STATE = 4
"""Characters of ASCII in a class that cost as much as a literal."""

ANY_CHARACTER_SIZE = 9
"""Of the dot and of a negated class, which match every other Unicode character."""

PATTERN_SIZE, UNICODE_PATTERN_SIZE = 40, 300
"""Of every pattern, and of one with a class of characters beyond ASCII, in addition to its elements."""

CLASS_SIZES = {"d": 60, "D": 90, "w": 800, "W": 850, "s": 12, "S": 25}
PROPERTY_SIZE = 850
"""Of \\p{...}."""

REPETITION = re.compile(r"\{\s*([0-9]*)\s*(,?)\s*([0-9]*)\s*\}")
GROUP_START = re.compile(r"\((?:\?(?:P?<[^>]*>|([a-zA-Z-]*)[:)]|))?")
PROPERTY = re.compile(r"[pP](?:\{[^}]*\}|.)", re.DOTALL)
CODE_POINT = re.compile(r"(?:x|u|U)\{[^}]*\}|x.{2}|u.{4}|U.{8}", re.DOTALL)
WORD_BOUNDARY = re.compile(r"b\{(?:start|end|start-half|end-half)\}")
ASCII_CLASS = re.compile(r"\[:\^?[a-z]+:\]")

ZERO_WIDTH_ESCAPES = frozenset("bBAz<>")


class PatternSize(NamedTuple):
    """`states` measures the compiled pattern. `positions` are its characters with repetitions multiplied.

    Compiling takes time in proportion to `states`, matching at most in proportion to `positions` and the text's length.
    """

    states: int
    positions: int

    def plus(self, other: PatternSize) -> PatternSize:
        """Return the size of both in sequence."""
        return PatternSize(self.states + other.states, self.positions + other.positions)

    def times(self, count: int) -> PatternSize:
        """Return the size of a repetition."""
        return PatternSize(min((self.states + 1) * count, MAX_SIZE), min(self.positions * count, MAX_SIZE))


EMPTY = PatternSize(1, 0)


def pattern_size(pattern: str) -> PatternSize:
    """Return the estimated size. Raises ValueError for what the estimate does not cover.

    >>> pattern_size("a{1000}").positions, pattern_size(r"(?:\\w{1,100}x){2}").states > 100_000
    (1000, True)
    """
    return _Estimator(pattern).estimate()


class _Group:
    """An open group: what it contains so far, except its last element, which may still be repeated."""

    __slots__ = ("last", "size")

    def __init__(self) -> None:
        self.size = EMPTY
        self.last = EMPTY

    def add(self, size: PatternSize) -> None:
        self.size, self.last = self.size.plus(self.last), size

    def total(self) -> PatternSize:
        return self.size.plus(self.last)


class _Estimator:
    """Read one pattern from left to right, in linear time and without recursion."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._is_unicode = False
        self._is_case_insensitive = False

    def estimate(self) -> PatternSize:
        groups = [_Group()]
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            if character == "(":
                if self._opens_group():
                    groups.append(_Group())
            elif character == ")" and len(groups) > 1:
                self._at += 1
                closed = groups.pop()
                groups[-1].add(closed.total())
            elif character in "*+?":
                self._at += 1
                groups[-1].last = groups[-1].last.times(1)
            elif character == "{":
                groups[-1].last = groups[-1].last.times(self._repetitions())
            else:
                groups[-1].add(self._element(character))
        size = PatternSize(UNICODE_PATTERN_SIZE if self._is_unicode else PATTERN_SIZE, 0)
        for group in groups:
            size = size.plus(group.total())
        return PatternSize(size.states * (2 if self._is_case_insensitive else 1), size.positions)

    def _opens_group(self) -> bool:
        """Read the start of a group, or flags without a group."""
        start = GROUP_START.match(self._pattern, self._at)
        assert start is not None
        self._at = start.end()
        flags = start[1] or ""
        if "x" in flags:
            raise ValueError("must not use the flag x")
        if "i" in flags:
            self._is_case_insensitive = True
        return not start[0].endswith(")")

    def _repetitions(self) -> int:
        found = REPETITION.match(self._pattern, self._at)
        if found is None:
            raise ValueError("must be a valid regular expression: `{` starts a repetition such as {1,9}")
        self._at = found.end()
        least, comma, most = found.groups()
        # Ten digits are more than any limit.
        return max(int((most if comma and most else least)[:10] or 0), 1)

    def _element(self, character: str) -> PatternSize:
        """Read a character, an escape, the dot or a class."""
        if character == "[":
            return self._class()
        self._at += 1
        if character == "\\":
            return self._escape()
        if character in "^$|":
            return EMPTY
        if character == ".":
            self._is_unicode = True
            return PatternSize(ANY_CHARACTER_SIZE, 1)
        return PatternSize(LITERAL_SIZE if character.isascii() else NON_ASCII_SIZE, 1)

    def _escape(self) -> PatternSize:
        """Read what follows a backslash."""
        for syntax, size in ((PROPERTY, PROPERTY_SIZE), (CODE_POINT, NON_ASCII_SIZE), (WORD_BOUNDARY, 1)):
            found = syntax.match(self._pattern, self._at)
            if found is not None:
                self._at = found.end()
                self._is_unicode = True
                return PatternSize(size, 1)
        escaped = self._pattern[self._at : self._at + 1]
        self._at += 1
        if escaped in ZERO_WIDTH_ESCAPES:
            return EMPTY
        self._is_unicode = self._is_unicode or escaped in CLASS_SIZES
        return PatternSize(CLASS_SIZES.get(escaped, LITERAL_SIZE), 1)

    def _class(self) -> PatternSize:
        """Read a class with the classes inside it, as the sum of its items."""
        depth, states, ascii_count = 0, LITERAL_SIZE, 0
        while self._at < len(self._pattern):
            character = self._pattern[self._at]
            ascii_class = ASCII_CLASS.match(self._pattern, self._at)
            if ascii_class is not None:
                self._at = ascii_class.end()
                ascii_count += 4
                continue
            self._at += 1
            if character == "[":
                depth += 1
                if self._pattern.startswith("^", self._at):
                    self._at += 1
                    self._is_unicode = True
                    states += ANY_CHARACTER_SIZE
                if self._pattern.startswith("]", self._at):
                    self._at += 1
            elif character == "]":
                depth -= 1
                if depth == 0:
                    break
            elif character == "\\":
                states += self._escape().states
            elif character.isascii():
                ascii_count += 1
            else:
                self._is_unicode = True
                states += NON_ASCII_SIZE
        return PatternSize(states + ascii_count // ASCII_PER_STATE, 1)
