"""What a part remembers of the item it came from: OpenAI forgets answers that are not stored, so it is told them again.

A reasoning item is kept whole, as it was received; of a message only what our words for it do not say.
https://developers.openai.com/api/docs/guides/reasoning, read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..json_codec import read_json

Json = dict[str, Any]


def reasoning_state(item: Mapping[str, Any]) -> bytes:
    """The item, where it can be sent back at all: with its encrypted content, or with the reasoning itself.

    >>> reasoning_state({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"})
    b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}'
    >>> reasoning_state({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None})
    b''
    """
    return _written(item) if item.get("encrypted_content") or item.get("content") else b""


def reasoning_item(state: bytes) -> Json | None:
    """The item to send back; None where the state holds none.

    Its status is left out, since that belongs to answers; so is content where there is none.
    """
    item = _read(state)
    if item.get("type") != "reasoning":
        return None
    summary = item.get("summary")
    again: Json = {"type": "reasoning", "summary": summary if isinstance(summary, list) else []}
    again.update({field: item[field] for field in ("id", "content", "encrypted_content") if item.get(field)})
    return again


def text_state(kind: str, phase: str) -> bytes:
    """What a text has to remember: that it is a refusal, and the phase of its message. Empty where that is nothing.

    >>> text_state("output_text", ""), text_state("output_text", "commentary")
    (b'', b'{"type":"output_text","phase":"commentary"}')
    """
    if kind == "output_text" and not phase:
        return b""
    return _written({"type": kind, "phase": phase} if phase else {"type": kind})


def kind_and_phase(state: bytes) -> tuple[str, str]:
    """What `text_state` was made of."""
    said = _read(state)
    kind, phase = said.get("type"), said.get("phase")
    return "refusal" if kind == "refusal" else "output_text", phase if isinstance(phase, str) else ""


def _written(value: Mapping[str, Any]) -> bytes:
    # ASCII, because an item may hold half a surrogate pair, which no other form can carry.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _read(state: bytes) -> Mapping[str, Any]:
    """The object in the state; empty where it is none of ours."""
    try:
        value = read_json(state)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
