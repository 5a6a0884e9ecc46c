"""Detect chunks of a chat-completions stream that show only that the model is reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VISIBLE_FIELDS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls")


def is_hidden_reasoning(delta: Mapping[str, Any]) -> bool:
    """Return whether the delta contains encrypted reasoning, as OpenRouter sends it, without any visible content.

    An empty reasoning field proves nothing: a server can send it for ever.

    >>> [is_hidden_reasoning({"reasoning_details": [{"data": data}], "content": ""}) for data in ("gAA", "")]
    [True, False]
    """
    details = delta.get("reasoning_details")
    if not isinstance(details, list) or any(delta.get(field) for field in VISIBLE_FIELDS):
        return False
    return any(isinstance(detail, dict) and any(map(detail.get, ("data", "text", "summary"))) for detail in details)
