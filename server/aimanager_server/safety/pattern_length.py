"""The longest text that a regular expression can match, so that a stream can hold back enough and no more."""

from __future__ import annotations

import re

UNLIMITED = 1 << 30
"""Length of a pattern without an upper limit."""

QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d+)(,?)(\d*)\})\??")
ESCAPE = re.compile(
    r"\\(?:(?P<literal>Q.*?(?:\\E|$))|(?P<empty>[AbBzZ])|[pP]\{[^}]*\}|[pP].|x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)",
    re.DOTALL,
)
CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\(?:[pP]\{[^}]*\}|.)|[^\]\\])*\]", re.DOTALL)
GROUP = re.compile(r"\((?:\?(?:P?<\w+>|[imsU-]*:))?")
FLAGS = re.compile(r"\(\?[imsU-]+\)")


def longest_match(pattern: str) -> int:
    """Return the most characters that a valid pattern of RE2's syntax can match, UNLIMITED if there is no limit.

    >>> longest_match(r"(?i)project[ -](aurora|nova\\d{2,4})"), longest_match("a+") == UNLIMITED
    (16, True)
    """
    return _Length(pattern).alternatives()


class _Length:
    """A recursive descent over a pattern that RE2 has accepted; its nesting is limited by RE2."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._position = 0

    def alternatives(self) -> int:
        longest = length = 0
        while self._position < len(self._pattern) and self._pattern[self._position] != ")":
            if self._pattern[self._position] == "|":
                self._position += 1
                longest, length = max(longest, length), 0
            else:
                length = min(length + self._repeated(), UNLIMITED)
        return max(longest, length)

    def _repeated(self) -> int:
        length = self._atom()
        while found := QUANTIFIER.match(self._pattern, self._position):
            self._position = found.end()
            length = min(length * _times(found), UNLIMITED)
        return length

    def _atom(self) -> int:
        pattern, start = self._pattern, self._position
        if found := FLAGS.match(pattern, start):
            self._position = found.end()
            return 0
        if found := GROUP.match(pattern, start):
            self._position = found.end()
            length = self.alternatives()
            self._position += 1
            return length
        found = ESCAPE.match(pattern, start) or CLASS.match(pattern, start)
        if found is None:
            self._position += 1
            return 0 if pattern[start] in "^$" else 1
        self._position = found.end()
        if found.re is ESCAPE and found["literal"] is not None:
            return len(found[0].removesuffix("\\E")) - len("\\Q")
        return 0 if found.re is ESCAPE and found["empty"] is not None else 1


def _times(quantifier: re.Match[str]) -> int:
    if quantifier[0][0] in "*+":
        return UNLIMITED
    if quantifier[0][0] == "?":
        return 1
    at_least, comma, at_most = quantifier.groups()
    return int(at_most) if at_most else UNLIMITED if comma else int(at_least)
