"""Detect chunks of a chat-completions stream that show only that the model is reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REASONING_FIELDS = ("reasoning_content", "reasoning")
VISIBLE_FIELDS = (*REASONING_FIELDS, "content", "refusal", "tool_calls")


def is_hidden_reasoning(delta: Mapping[str, Any], *, is_first: bool) -> bool:
    """Return whether the delta shows that the model is reasoning, without any visible content.

    OpenRouter sends hidden reasoning encrypted; other servers send an empty reasoning field. The first chunk, which
    sets the role, often has all fields and proves nothing.

    >>> [is_hidden_reasoning({"reasoning": "", "content": text}, is_first=False) for text in ("", "Hi")]
    [True, False]
    >>> is_hidden_reasoning({"role": "assistant", "content": "", "reasoning": None}, is_first=True)
    False
    """
    content = delta.get("content")
    if isinstance(content, str) and content:
        return False  # nearly every chunk
    if isinstance(content, list) and content:
        return all(map(_is_empty_thinking, content))
    if any(delta.get(field) for field in VISIBLE_FIELDS):
        return False
    if delta.get("reasoning_details"):
        return True
    sets_role = is_first and "role" in delta
    return not sets_role and any(field in delta for field in REASONING_FIELDS)


def _is_empty_thinking(item: Any) -> bool:
    """Return whether the item is one of Mistral's thinking items without text."""
    if not isinstance(item, dict) or item.get("type") != "thinking":
        return False
    pieces = item.get("thinking")
    if not isinstance(pieces, list):
        return not pieces
    return not any(piece.get("text") if isinstance(piece, dict) else piece for piece in pieces)
