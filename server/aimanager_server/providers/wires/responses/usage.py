"""Parse the token usage that the Responses API reports. Cached and reasoning tokens are part of the totals."""

from __future__ import annotations

from typing import Any

from ....core.usage import Usage, UsageSource
from ..json_codec import object_field, token_count


def parse_usage(value: Any) -> Usage | None:
    """Return the reported usage; None if the report is missing or empty.

    >>> usage = parse_usage({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2})
    >>> usage.input_tokens, usage.cache_read_tokens, usage.output_tokens
    (9, 4, 2)
    """
    if not isinstance(value, dict):
        return None
    input_tokens, output_tokens = token_count(value.get("input_tokens")), token_count(value.get("output_tokens"))
    if not input_tokens and not output_tokens:
        return None
    input_details = object_field(value, "input_tokens_details")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=token_count(input_details.get("cached_tokens")),
        cache_write_tokens=token_count(input_details.get("cache_write_tokens")),
        reasoning_tokens=token_count(object_field(value, "output_tokens_details").get("reasoning_tokens")),
        source=UsageSource.REPORTED,
    )
