"""Adjust messages for servers that are stricter than the chat-completions API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

TOOL_RESULTS_ACKNOWLEDGMENT = "I have the results."
"""An assistant turn inserted between tool results and a user turn, for servers that reject the direct sequence."""


def acknowledge_tool_results(messages: list[Json]) -> Iterator[Json]:
    """Yield the messages, with an assistant turn between tool results and a user turn."""
    role = ""
    for message in messages:
        if role == "tool" and message["role"] == "user":
            yield {"role": "assistant", "content": TOOL_RESULTS_ACKNOWLEDGMENT}
        role = message["role"]
        yield message
