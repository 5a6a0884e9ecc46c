"""Counts tokens as the servers of the chat-completions wire report them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.usage import Usage, UsageSource
from ..json_codec import count_of


def usage_of(value: Any) -> Usage | None:
    """What was counted; None where the report is missing or says nothing.

    Cached and reasoning tokens are part of the totals, but for servers (xAI) whose `total_tokens` shows that the
    reasoning stands beside the completion: there it is added.

    >>> usage = usage_of({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 16,
    ...                   "completion_tokens_details": {"reasoning_tokens": 5}})
    >>> usage.output_tokens, usage.reasoning_tokens
    (7, 5)
    """
    if not isinstance(value, dict):
        return None
    given, written = _count(value, "prompt_tokens"), _count(value, "completion_tokens")
    if not given and not written:
        return None
    details = _object(value, "prompt_tokens_details")
    reasoning = _count(_object(value, "completion_tokens_details"), "reasoning_tokens")
    if reasoning and _count(value, "total_tokens") == given + written + reasoning:
        written += reasoning
    return Usage(
        input_tokens=given,
        output_tokens=written,
        cache_read_tokens=_count(details, "cached_tokens")
        or _count(value, "prompt_cache_hit_tokens")
        or _count(value, "num_cached_tokens"),
        cache_write_tokens=_count(details, "cache_write_tokens"),
        reasoning_tokens=reasoning,
        source=UsageSource.REPORTED,
    )


def _object(value: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = value.get(field)
    return found if isinstance(found, dict) else {}


def _count(value: Mapping[str, Any], field: str) -> int:
    return count_of(value.get(field))
