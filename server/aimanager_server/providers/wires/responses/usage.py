"""Counts tokens as the Responses API reports them: cached and reasoning tokens are part of the totals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.usage import Usage, UsageSource
from ..json_codec import count_of


def usage_of(value: Any) -> Usage | None:
    """What was counted; None where the report is missing or says nothing.

    >>> usage = usage_of({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2})
    >>> usage.input_tokens, usage.cache_read_tokens, usage.output_tokens
    (9, 4, 2)
    """
    if not isinstance(value, dict):
        return None
    given, written = _count(value, "input_tokens"), _count(value, "output_tokens")
    if not given and not written:
        return None
    return Usage(
        input_tokens=given,
        output_tokens=written,
        cache_read_tokens=_count(value.get("input_tokens_details"), "cached_tokens"),
        cache_write_tokens=_count(value.get("input_tokens_details"), "cache_write_tokens"),
        reasoning_tokens=_count(value.get("output_tokens_details"), "reasoning_tokens"),
        source=UsageSource.REPORTED,
    )


def _count(value: Any, field: str) -> int:
    return count_of(value.get(field)) if isinstance(value, Mapping) else 0
