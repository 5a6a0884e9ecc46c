"""Tells a chunk of the chat-completions wire that hides its reasoning from one that says nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REASONING = ("reasoning_content", "reasoning")
SHOWN = (*REASONING, "content", "refusal", "tool_calls")


def thinks_unseen(delta: Mapping[str, Any], *, is_first: bool) -> bool:
    """Whether the model thinks, and nothing shows what.

    OpenRouter sends such reasoning encrypted; others send their field for it, and nothing in it. In the first chunk,
    which names the role, many send all their fields, whatever the model does.

    >>> [thinks_unseen({"reasoning": "", "content": said}, is_first=False) for said in ("", "Hi")]
    [True, False]
    >>> thinks_unseen({"role": "assistant", "content": "", "reasoning": None}, is_first=True)
    False
    """
    content = delta.get("content")
    if isinstance(content, list) and content:
        return all(map(_is_empty_thought, content))
    if any(delta.get(field) for field in SHOWN):
        return False
    if delta.get("reasoning_details"):
        return True
    names_role = is_first and "role" in delta
    return not names_role and any(field in delta for field in REASONING)


def _is_empty_thought(item: Any) -> bool:
    """Mistral's: an item of thinking without a text."""
    if not isinstance(item, dict) or item.get("type") != "thinking":
        return False
    pieces = item.get("thinking")
    if not isinstance(pieces, list):
        return not pieces
    return not any(piece.get("text") if isinstance(piece, dict) else piece for piece in pieces)
