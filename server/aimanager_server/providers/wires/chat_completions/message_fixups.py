"""Adjust messages for servers that are stricter than the chat-completions API."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from string import ascii_letters, digits
from typing import Any

from .quirks import Quirks

Json = dict[str, Any]

ID_CHARACTERS = digits + ascii_letters

TOOL_RESULTS_ACKNOWLEDGMENT = "I have the results."
"""An assistant turn inserted between tool results and a user turn, for servers that reject the direct sequence."""


def fix_messages(messages: list[Json], quirks: Quirks) -> list[Json]:
    """Return the messages as the server accepts them."""
    if not quirks.allows_user_after_tool:
        messages = list(_acknowledge_tool_results(messages))
    if quirks.tool_call_id_length:
        for message in messages:
            _normalize_call_ids(message, quirks.tool_call_id_length)
    return messages


def normalize_call_id(call_id: str, length: int) -> str:
    """Return the id if it has the required length, else an id derived from it, the same in every turn.

    >>> normalize_call_id("D681PevKs", 9), len(normalize_call_id("call_1", 9))
    ('D681PevKs', 9)
    >>> normalize_call_id("toolu_01A", 9) == normalize_call_id("toolu_01A", 9)
    True
    """
    if len(call_id) == length and call_id.isascii() and call_id.isalnum():
        return call_id
    number = int.from_bytes(sha256(call_id.encode("utf-8", "replace")).digest())
    base = len(ID_CHARACTERS)
    return "".join(ID_CHARACTERS[number // base**place % base] for place in range(length))


def _acknowledge_tool_results(messages: list[Json]) -> Iterator[Json]:
    role = ""
    for message in messages:
        if role == "tool" and message["role"] == "user":
            yield {"role": "assistant", "content": TOOL_RESULTS_ACKNOWLEDGMENT}
        role = message["role"]
        yield message


def _normalize_call_ids(message: Json, length: int) -> None:
    for call in message.get("tool_calls", ()):
        call["id"] = normalize_call_id(call["id"], length)
    if "tool_call_id" in message:
        message["tool_call_id"] = normalize_call_id(message["tool_call_id"], length)
