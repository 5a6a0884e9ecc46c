"""Compile the regular expressions of schemas, after a check that this and matching take bounded time."""

from __future__ import annotations

from pydantic_core import SchemaError as InvalidPattern
from pydantic_core import SchemaValidator, core_schema

from .pattern_size import PatternSize, pattern_size

MAX_PATTERNS = 100
"""Patterns of a schema."""

MAX_PATTERN_LENGTH = 1_000

MAX_PATTERN_SIZE = 10_000
"""States of a compiled pattern, estimated: at most 5 ms to compile and 1 MB of memory, measured.

pydantic_core 2.50 keeps the 50 patterns that it compiled last.
"""

MAX_TOTAL_PATTERN_SIZE = 20_000
"""States of all patterns of a schema."""

MAX_MATCH_COST = 1_500_000
"""Characters of a text times positions of a pattern: at most 60 ns each, measured, in which nothing else can run."""

INVALID = "must be a valid regular expression without look-around or back-references"


class MatchTooExpensive(Exception):
    """Matching a pattern against this text could take too long."""


class Pattern:
    """A compiled pattern of the `regex` crate, which matches in linear time.

    >>> compile_pattern("^a+$").matches("aaa"), compile_pattern("^a+$").matches("b")
    (True, False)
    """

    __slots__ = ("_is_match", "size")

    def __init__(self, text: str, size: PatternSize) -> None:
        schema = core_schema.str_schema(pattern=text, regex_engine="rust-regex")
        self._is_match = SchemaValidator(schema).isinstance_python
        self.size = size

    def matches(self, text: str) -> bool:
        """Return whether the text contains a match. Raises MatchTooExpensive."""
        if self.cost(text) > MAX_MATCH_COST:
            raise MatchTooExpensive
        return self._is_match(text)

    def cost(self, text: str) -> int:
        """Return the upper limit of the steps that matching takes."""
        return self.size.positions * len(text)


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern. Raises ValueError with a description if it is invalid or too large."""
    size = pattern_size(text)
    if size.states > MAX_PATTERN_SIZE:
        raise ValueError(
            f"must have at most {MAX_PATTERN_SIZE} states when compiled, estimated {size.states}; repeat less often, "
            "or use [0-9A-Za-z_] for \\w and [0-9] for \\d"
        )
    try:
        return Pattern(text, size)
    except InvalidPattern as error:
        raise ValueError(INVALID) from error
