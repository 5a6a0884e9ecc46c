"""Parse the token usage that chat-completions servers report."""

from __future__ import annotations

from typing import Any

from ....core.usage import Usage, UsageSource
from ..json_codec import object_field, token_count


def parse_usage(value: Any) -> Usage | None:
    """Return the reported usage; None if the report is missing, empty or has a total that is not a token count.

    Cached and reasoning tokens are part of the totals. Some servers (xAI) report reasoning tokens separately, which
    `total_tokens` reveals; they are then added to the output.

    >>> usage = parse_usage({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 16,
    ...                      "completion_tokens_details": {"reasoning_tokens": 5}})
    >>> usage.output_tokens, usage.reasoning_tokens
    (7, 5)
    """
    if not isinstance(value, dict):
        return None
    totals = value.get("prompt_tokens"), value.get("completion_tokens")
    input_tokens, output_tokens = map(token_count, totals)
    if not (input_tokens or output_tokens) or (totals[0] and not input_tokens) or (totals[1] and not output_tokens):
        return None
    details = object_field(value, "prompt_tokens_details")
    reasoning = token_count(object_field(value, "completion_tokens_details").get("reasoning_tokens"))
    if reasoning and token_count(value.get("total_tokens")) == input_tokens + output_tokens + reasoning:
        output_tokens += reasoning
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=token_count(details.get("cached_tokens"))
        or token_count(value.get("prompt_cache_hit_tokens"))
        or token_count(value.get("num_cached_tokens")),
        cache_write_tokens=token_count(details.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
        source=UsageSource.REPORTED,
    )
