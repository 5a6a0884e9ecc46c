"""Check the token counts that providers report, because they are billed.

A count that no response can have is corrected, and the usage becomes an estimate.
"""

from __future__ import annotations

from typing import Any

from ...core.usage import Usage, UsageSource

MAX_TOKEN_COUNT = 10**9
"""Larger values are not counts of one response: no model has a context window of a tenth of it."""


def parse_token_count(value: Any) -> int | None:
    """Return a token count; None for a value that is none, such as a negative number, a fraction, NaN or a boolean.

    >>> parse_token_count(7), parse_token_count(7.0), parse_token_count("7")
    (7, 7, 7)
    >>> [parse_token_count(value) for value in (-1, 7.5, float("nan"), 1e400, 10**30, True, "7 tokens", [7])]
    [None, None, None, None, None, None, None, None]
    """
    if isinstance(value, str):
        # The JSON form of a 64-bit integer in protobuf.
        value = (
            int(value) if len(value) <= len(str(MAX_TOKEN_COUNT)) and value.isascii() and value.isdecimal() else None
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOKEN_COUNT:
        return None
    return int(value) if value == int(value) else None


class TokenCounts:
    """The latest counts that one response reported, by the names of the fields of Usage.

    >>> counts = TokenCounts(input_tokens=7, cache_read_tokens=700, output_tokens=2, reasoning_tokens=None)
    >>> usage = counts.usage()
    >>> usage.input_tokens, usage.cache_read_tokens, usage.source.value
    (7, 7, 'estimated')
    """

    __slots__ = ("_counts", "_unreliable")

    def __init__(self, **values: Any) -> None:
        self._counts: dict[str, int] = {}
        self._unreliable: set[str] = set()
        self.update(**values)

    def update(self, **values: Any) -> None:
        """Replace the counts that are given; None is not given. An impossible value keeps the previous count."""
        for name, value in values.items():
            if value is None:
                continue
            count = parse_token_count(value)
            if count is None:
                self._unreliable.add(name)
            else:
                self._counts[name] = count
                self._unreliable.discard(name)

    def discard(self, name: str) -> None:
        """Forget a count that was preliminary, and mark the usage as an estimate, unless it was never reported."""
        if self._counts.pop(name, None) is not None:
            self._unreliable.add(name)

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    def usage(self, *, more_input_tokens: int = 0, more_output_tokens: int = 0) -> Usage:
        """Return the usage. `more_` tokens are part of a total, but reported beside it.

        The counts of a part are limited to the total that includes them. Servers that do not count report zeros, which
        is treated as missing.
        """
        input_tokens = self["input_tokens"] + more_input_tokens
        output_tokens = self["output_tokens"] + more_output_tokens
        long_write = self["long_cache_write_tokens"]
        reported = self["cache_read_tokens"], self["cache_write_tokens"], self["reasoning_tokens"], long_write
        cache_read = min(reported[0], input_tokens)
        cache_write = min(reported[1], input_tokens - cache_read)
        reasoning = min(reported[2], output_tokens)
        long_write = min(reported[3], cache_write)
        is_possible = not self._unreliable and reported == (cache_read, cache_write, reasoning, long_write)
        source = UsageSource.REPORTED if is_possible else UsageSource.ESTIMATED
        if not input_tokens and not output_tokens:
            source = UsageSource.MISSING
        return Usage(input_tokens, output_tokens, cache_read, cache_write, reasoning, source, long_write)
