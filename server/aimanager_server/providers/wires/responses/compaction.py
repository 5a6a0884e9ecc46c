"""Store what the Responses API returns for a compacted prompt, and send it back in place of the prompt.

The response is the canonical next prompt: the user's messages, followed by one encrypted item. It is sent back
completely. https://developers.openai.com/api/reference/resources/responses/methods/compact; types of openai 3.54.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.compaction import check_compaction_size
from ....core.content import Message, Text
from ....core.errors import ProviderProtocolError
from ....core.provider_state import is_obtained_with
from ....core.request import Target
from ....core.usage import Usage
from .provider_state import Json, decode_state, encode_state

REQUEST_FIELDS = frozenset(
    (
        *("image", "input", "instructions", "model"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier"),
    )
)
"""The fields of a generation request that the endpoint accepts as well."""

CONTENT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "input_text": ("text",),
    "input_image": ("image_url", "detail"),
    "input_file": ("filename", "file_url", "file_data"),
}

STATE_TYPE = "compaction"


def encode_compaction(output: Any, usage: Usage) -> bytes:
    """Return the state that stands for the compacted prompt.

    Raises ProviderProtocolError, with the usage, which is billed all the same, if the output has other items than user
    messages and one compaction, or is too large.

    >>> item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA", "created_by": "x"}
    >>> encode_compaction([item], Usage())
    b'{"type":"compaction","output":[{"type":"compaction","encrypted_content":"gAAA","id":"cmp_1"}]}'
    """
    items = _replayable(output)
    if items is None:
        problem = "The compacted prompt must have user messages and one compaction item."
        raise ProviderProtocolError(problem, usage=usage)
    state = encode_state({"type": STATE_TYPE, "output": items})
    check_compaction_size(state, usage)
    return state


def compacted_items(message: Message, target: Target, key: str) -> list[Json]:
    """Return the items that replace a summary; empty if it has none that this target and key can read."""
    if (message.provider, message.model) != target.key or len(message.parts) != 1:
        return []
    part = message.parts[0]
    if not isinstance(part, Text) or not is_obtained_with(part.provider_state, key):
        return []
    state = decode_state(part.provider_state)
    return _replayable(state.get("output")) or [] if state.get("type") == STATE_TYPE else []


def _replayable(output: Any) -> list[Json] | None:
    """Return the items as they are sent back, without the fields that belong to responses; None if one is unknown."""
    if not isinstance(output, list):
        return None
    items = [_item(value) for value in output]
    if sum(item is not None and item.get("type") == "compaction" for item in items) != 1:
        return None
    known = [item for item in items if item is not None]
    return known if len(known) == len(items) else None


def _item(value: Any) -> Json | None:
    if not isinstance(value, dict):
        return None
    if value.get("type") == "compaction":
        sent = {field: value[field] for field in ("encrypted_content", "id") if _is_text(value.get(field))}
        return {"type": "compaction", **sent} if "encrypted_content" in sent else None
    content = value.get("content")
    if value.get("type", "message") != "message" or value.get("role") != "user":
        return None
    if isinstance(content, str):
        return {"role": "user", "content": content}
    parts = [_content(part) for part in content] if isinstance(content, list) else []
    return {"role": "user", "content": parts} if parts and None not in parts else None


def _content(value: Any) -> Json | None:
    fields = CONTENT_FIELDS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if fields is None:
        return None
    return {"type": value["type"], **{field: value[field] for field in fields if isinstance(value.get(field), str)}}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
