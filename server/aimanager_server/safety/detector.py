"""Detectors: each searches a text once, in linear time, and checks the candidates that it finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import re2

Span = tuple[int, int]
"""Start and end of a part of a text."""

MAX_MATCH = 16 * 1024
"""Length of a match. A longer one is cut, so that a stream never has to hold back more."""

MAX_PATTERN_MEMORY = 8 * 1024 * 1024
"""Bytes that RE2 may use for one pattern: its program, and the states that it has computed."""


class Detector:
    """Finds one kind of text. Instances are immutable and used by all threads.

    `pattern` finds candidates in ASCII text. Its alternatives must end, or match already, within `longest_prefix`
    characters: then the search for all candidates of a text is linear, and a stream is held back by no more than that.
    `has_spaces` is false if nothing that decides about a match has a space in it.
    Texts without `required` are not searched; detectors without it are searched for together first, by `group`.
    """

    pattern: ClassVar[bytes]
    label: ClassVar[str]
    longest_prefix: ClassVar[int] = 64
    has_spaces: ClassVar[bool] = True
    required: ClassVar[bytes] = b""
    group: ClassVar[int] = 0

    def __init__(self) -> None:
        self._search = compiled(self.pattern).search

    def check(self, text: bytes, start: int, end: int, floor: int) -> Span | None:
        """Return what to mask of a candidate, None for nothing. It may begin before it, but not before `floor`."""
        return start, end

    def resume(self, text: bytes, start: int, end: int) -> int:
        """Return where to search on after a candidate was rejected."""
        return end

    def may_continue(self, text: bytes, end: int) -> bool:
        """Return whether more text could extend a candidate that ends here, although a line has ended."""
        return False

    def find(self, text: bytes, start: int) -> Iterator[tuple[Span, Span | None]]:
        """Yield, in order, what each candidate from `start` on settles, and what to mask of it.

        What precedes `start` is context.
        """
        position = floor = start
        while (found := self._search(text, position)) is not None:
            candidate, end = found.span()
            end = min(end, candidate + MAX_MATCH)
            span = self.check(text, candidate, end, floor)
            if span is None:
                position = self.resume(text, candidate, end)
            else:
                position = floor = span[1]
            yield (candidate, position), span


def compiled(pattern: bytes) -> re2._Regexp:
    """Return a pattern for text in ASCII. Raises re2.error."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY
    return re2.compile(pattern, options)
