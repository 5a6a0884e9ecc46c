"""Bends messages to servers that insist on more than the wire does."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from string import ascii_letters, digits
from typing import Any

from .quirks import Quirks

Json = dict[str, Any]

SIGNS = digits + ascii_letters

BRIDGE = "I have the results."
"""What the assistant is made to say where a user turn may not follow results of tools directly."""


def adjusted(messages: list[Json], quirks: Quirks) -> list[Json]:
    """The messages as this server takes them."""
    if not quirks.user_after_tool:
        messages = list(_bridged(messages))
    if quirks.call_id_length:
        for message in messages:
            _shorten(message, quirks.call_id_length)
    return messages


def fitting(call_id: str, length: int) -> str:
    """The id itself where it fits, else one made from it: the same call gets the same id in every turn.

    >>> fitting("D681PevKs", 9), fitting("toolu_01A", 9) == fitting("toolu_01A", 9), len(fitting("call_1", 9))
    ('D681PevKs', True, 9)
    """
    if len(call_id) == length and call_id.isascii() and call_id.isalnum():
        return call_id
    number = int.from_bytes(sha256(call_id.encode("utf-8", "replace")).digest())
    return "".join(SIGNS[number // len(SIGNS) ** place % len(SIGNS)] for place in range(length))


def _bridged(messages: list[Json]) -> Iterator[Json]:
    role = ""
    for message in messages:
        if role == "tool" and message["role"] == "user":
            yield {"role": "assistant", "content": BRIDGE}
        role = message["role"]
        yield message


def _shorten(message: Json, length: int) -> None:
    for call in message.get("tool_calls", ()):
        call["id"] = fitting(call["id"], length)
    if "tool_call_id" in message:
        message["tool_call_id"] = fitting(message["tool_call_id"], length)
