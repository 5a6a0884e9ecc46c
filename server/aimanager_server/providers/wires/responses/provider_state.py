"""Store in each part what the Responses API needs to receive back, because responses are not stored there.

A reasoning item is stored unchanged. A message stores only what the gateway's own types cannot express.
https://developers.openai.com/api/docs/guides/reasoning, read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ....core.provider_state import unmarked
from ..json_codec import decode_json

Json = dict[str, Any]


def encode_reasoning_item(item: Mapping[str, Any]) -> bytes:
    """Return the state of a reasoning item; empty without encrypted or plain content, as it cannot be sent back.

    >>> encode_reasoning_item({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"})
    b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}'
    >>> encode_reasoning_item({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None})
    b''
    """
    return encode_state(item) if item.get("encrypted_content") or item.get("content") else b""


def decode_reasoning_item(state: bytes) -> Json | None:
    """Return the reasoning item to send back; None if the state contains none.

    The status, which belongs to responses, and empty fields are omitted.
    """
    item = decode_state(state)
    if item.get("type") != "reasoning":
        return None
    summary = item.get("summary")
    sent: Json = {"type": "reasoning", "summary": summary if isinstance(summary, list) else []}
    sent.update({field: item[field] for field in ("id", "content", "encrypted_content") if item.get(field)})
    return sent


def encode_kind_and_phase(kind: str, phase: str) -> bytes:
    """Return the state of a text: whether it is a refusal, and the phase of its message. Empty for plain text.

    >>> encode_kind_and_phase("output_text", ""), encode_kind_and_phase("output_text", "commentary")
    (b'', b'{"type":"output_text","phase":"commentary"}')
    """
    if kind == "output_text" and not phase:
        return b""
    return encode_state({"type": kind, "phase": phase} if phase else {"type": kind})


def decode_kind_and_phase(state: bytes) -> tuple[str, str]:
    """Return the kind and phase stored by `encode_kind_and_phase`."""
    fields = decode_state(state)
    kind, phase = fields.get("type"), fields.get("phase")
    return "refusal" if kind == "refusal" else "output_text", phase if isinstance(phase, str) else ""


def encode_state(value: Mapping[str, Any]) -> bytes:
    """Return the JSON of a state."""
    # ASCII escapes preserve half a surrogate pair, which UTF-8 cannot encode.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def decode_state(state: bytes) -> Mapping[str, Any]:
    """Return the object in the state; empty if the state comes from another wire."""
    try:
        value = decode_json(unmarked(state))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
