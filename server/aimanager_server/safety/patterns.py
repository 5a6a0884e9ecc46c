"""Regular expressions of the operator, in an engine whose time is linear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import re2

from .detector import Span
from .pattern_length import UNLIMITED, longest_match

MAX_PATTERN_LENGTH = 1000
"""Characters that one match may have, and that a stream holds back while a filter with patterns masks it."""

MAX_PATTERN_MEMORY, MAX_JOINED_MEMORY = 2 * 1024 * 1024, 8 * 1024 * 1024
"""Bytes that RE2 may use for one pattern, and for the search for all of them: program and computed states."""


class InvalidPattern(ValueError):
    """A pattern cannot be used. The message completes "pattern …"."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern and the most characters that it can match."""

    regexp: re2._Regexp
    longest: int


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern. Raises InvalidPattern."""
    try:
        regexp = _compiled(text, MAX_PATTERN_MEMORY)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise InvalidPattern(f"is not accepted by RE2: {reason}") from None
    if regexp.search(b"") is not None:
        raise InvalidPattern("must not match the empty text")
    longest = longest_match(text)
    if longest > MAX_PATTERN_LENGTH:
        length = "any number of" if longest == UNLIMITED else str(longest)
        description = (
            f"must match at most {MAX_PATTERN_LENGTH} characters, can match {length}; use {{0,20}} for * and +"
        )
        raise InvalidPattern(description)
    return Pattern(regexp, longest)


class Patterns:
    """Several patterns, searched together. Raises InvalidPattern if they are too large together."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._patterns = tuple(map(compile_pattern, texts))
        self.longest = max((pattern.longest for pattern in self._patterns), default=0)
        try:
            self._any = _compiled("|".join(f"(?:{text})" for text in texts), MAX_JOINED_MEMORY)
        except re2.error:
            raise InvalidPattern(f"is too large together with the other {len(texts) - 1}") from None

    def find(self, text: str, start: int) -> Iterator[tuple[int, Span]]:
        """Yield the number of each pattern with what it matches from `start` on; what precedes it is context."""
        data = text.encode("utf-8", "surrogatepass")
        begin = start if len(data) == len(text) else len(text[:start].encode("utf-8", "surrogatepass"))
        if self._any.search(data, begin) is None:
            return
        for number, pattern in enumerate(self._patterns):
            characters, offset = start, begin
            for found in pattern.regexp.finditer(data, begin):
                first, end = found.span()
                if first == end:
                    continue
                characters += _length(data[offset:first])
                matched = _length(data[first:end])
                yield number, (characters, characters + matched)
                characters, offset = characters + matched, end


def _compiled(text: str, max_memory: int) -> re2._Regexp:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = max_memory
    return re2.compile(text.encode("utf-8", "surrogatepass"), options)


def _length(data: bytes) -> int:
    return len(data) if data.isascii() else len(data.decode("utf-8", "surrogatepass"))
