"""Parse the token usage that the Responses API reports. Cached and reasoning tokens are part of the totals."""

from __future__ import annotations

from typing import Any

from ....core.usage import Usage, UsageSource
from ..json_codec import object_field
from ..token_counts import TokenCounts


def parse_usage(value: Any) -> Usage | None:
    """Return the reported usage; None if the report is missing or empty.

    >>> usage = parse_usage({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2})
    >>> usage.input_tokens, usage.cache_read_tokens, usage.output_tokens
    (9, 4, 2)
    """
    if not isinstance(value, dict):
        return None
    details = object_field(value, "input_tokens_details")
    counts = TokenCounts(
        input_tokens=value.get("input_tokens"),
        output_tokens=value.get("output_tokens"),
        cache_read_tokens=details.get("cached_tokens"),
        cache_write_tokens=details.get("cache_write_tokens"),
        long_cache_write_tokens=object_field(details, "cache_write_tokens_details").get("ttl_12h_tokens"),
        reasoning_tokens=object_field(value, "output_tokens_details").get("reasoning_tokens"),
    )
    usage = counts.usage()
    return None if usage.source is UsageSource.MISSING else usage
