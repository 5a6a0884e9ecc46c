"""Parse the token usage that chat-completions servers report."""

from __future__ import annotations

from typing import Any

from ....core.usage import Usage, UsageSource
from ..json_codec import object_field
from ..token_counts import TokenCounts, parse_token_count


def parse_usage(value: Any) -> Usage | None:
    """Return the reported usage; None if the report is missing or empty.

    Cached and reasoning tokens are part of the totals. Some servers (xAI) report reasoning tokens separately, which
    `total_tokens` reveals; they are then added to the output.

    >>> usage = parse_usage({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 16,
    ...                      "completion_tokens_details": {"reasoning_tokens": 5}})
    >>> usage.output_tokens, usage.reasoning_tokens
    (7, 5)
    """
    if not isinstance(value, dict):
        return None
    details = object_field(value, "prompt_tokens_details")
    cached = details.get("cached_tokens") or value.get("prompt_cache_hit_tokens") or value.get("num_cached_tokens")
    counts = TokenCounts(
        input_tokens=value.get("prompt_tokens"),
        output_tokens=value.get("completion_tokens"),
        cache_read_tokens=cached,
        cache_write_tokens=details.get("cache_write_tokens"),
        reasoning_tokens=object_field(value, "completion_tokens_details").get("reasoning_tokens"),
    )
    reasoning, total = counts["reasoning_tokens"], parse_token_count(value.get("total_tokens"))
    is_separate = total == counts["input_tokens"] + counts["output_tokens"] + reasoning
    usage = counts.usage(more_output_tokens=reasoning if is_separate else 0)
    return None if usage.source is UsageSource.MISSING else usage
