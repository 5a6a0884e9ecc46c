"""Encode a conversation as messages, in the order that the Messages API requires."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from ....core.content import Attachment, CacheHint, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.provider_state import unmarked
from ....core.request import Attempt, Target
from ..call_ids import ANTHROPIC as CALL_IDS
from ..tool_arguments import parse_tool_arguments

Block = dict[str, Any]

FIRST_USER_TURN = "(The conversation begins here.)"
"""The user turn inserted before a leading assistant turn, which the API rejects."""

MISSING_RESULT = "No result was given for this call."
"""The result inserted for a tool call without one; the API rejects every later turn otherwise."""


def encode_messages(attempt: Attempt[Any]) -> list[Block]:
    """Return the turns: roles alternate, the first is the user's, and tool results come first in their turn."""
    turns = _merged(_turns(attempt))
    if turns and turns[0]["role"] == Role.ASSISTANT.value:
        turns.insert(0, {"role": Role.USER.value, "content": [_text(FIRST_USER_TURN)]})
    for previous, turn in pairwise(turns):
        if turn["role"] == Role.USER.value:
            turn["content"] = _put_results_first(_missing_results(previous, turn), turn["content"])
    return turns


def _turns(attempt: Attempt[Any]) -> Iterator[tuple[Role, list[Block]]]:
    for message in attempt.messages:
        from_target = _is_from_target(message, attempt.target) and not attempt.omits_state
        blocks: list[Block] = []
        for part in message.parts:
            added = _blocks(part, message.role, from_target=from_target)
            if added and part.cache_hint is not None:
                added[-1] |= cache_control(part.cache_hint)
            blocks += added
        if blocks:
            yield message.role, blocks


def cache_control(hint: CacheHint | None) -> Block:
    """Return the field of a block that marks the end of a cached prefix; none without a hint.

    >>> cache_control(CacheHint.LONG)
    {'cache_control': {'type': 'ephemeral', 'ttl': '1h'}}
    """
    if hint is None:
        return {}
    control = {"type": "ephemeral", "ttl": "1h"} if hint is CacheHint.LONG else {"type": "ephemeral"}
    return {"cache_control": control}


def _is_from_target(message: Message, target: Target) -> bool:
    """Return whether the target wrote the message. Signatures are valid only for the model that created them."""
    return message.provider == target.provider and message.model in ("", target.model)


def _merged(turns: Iterable[tuple[Role, list[Block]]]) -> list[Block]:
    merged: list[Block] = []
    for role, blocks in turns:
        if merged and merged[-1]["role"] == role.value:
            merged[-1]["content"].extend(blocks)
        else:
            merged.append({"role": role.value, "content": blocks})
    return merged


def _missing_results(previous: Block, turn: Block) -> list[Block]:
    """Return a result for every tool call of the previous turn that this turn does not answer."""
    answered = {block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"}
    calls = [block["id"] for block in previous["content"] if block["type"] == "tool_use"]
    return [
        {"type": "tool_result", "tool_use_id": call_id, "content": MISSING_RESULT, "is_error": True}
        for call_id in calls
        if call_id not in answered
    ]


def _put_results_first(added: list[Block], blocks: list[Block]) -> list[Block]:
    return sorted([*added, *blocks], key=lambda block: block["type"] != "tool_result")


def _blocks(part: Part, role: Role, *, from_target: bool) -> list[Block]:
    match part:
        case Text():
            return [_text(part.text)] if part.text else []
        case Reasoning():
            return _reasoning(part) if from_target else []
        case Attachment():
            # The API rejects files in assistant turns; such a turn comes from another provider.
            return [_attachment(part)] if role is Role.USER else []
        case ToolCall():
            return [
                {
                    "type": "tool_use",
                    "id": CALL_IDS.fit(part.id),
                    "name": part.name,
                    "input": parse_tool_arguments(part.arguments_json),
                }
            ]
        case ToolResult():
            return [_result(part)]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _reasoning(part: Reasoning) -> list[Block]:
    """Return the signed block unchanged. Unsigned reasoning is omitted, because the API rejects it."""
    try:
        state = unmarked(part.provider_state).decode()
    except UnicodeDecodeError:
        return []
    if not state:
        return []
    if part.redacted:
        return [{"type": "redacted_thinking", "data": state}]
    return [{"type": "thinking", "thinking": part.text, "signature": state}]


def _result(part: ToolResult) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": CALL_IDS.fit(part.tool_call_id)}
    if part.attachments:
        output = [_text(part.output)] if part.output else []
        block["content"] = [*output, *(_attachment(attachment) for attachment in part.attachments)]
    elif part.output:
        block["content"] = part.output
    if part.is_error:
        block["is_error"] = True
    return block


def _attachment(part: Attachment) -> Block:
    mime_type = part.mime_type.partition(";")[0].strip().lower()
    if part.is_image:
        return {"type": "image", "source": _source(part, "image/jpeg" if mime_type == "image/jpg" else mime_type)}
    block: Block = {"type": "document", "source": _document_source(part, mime_type)}
    if part.filename:
        block["title"] = part.filename
    return block


def _document_source(part: Attachment, mime_type: str) -> Block:
    if part.uri is not None or mime_type == "application/pdf":
        return _source(part, mime_type)
    # Validation admits only text otherwise, and text/plain is the only type that the API accepts.
    return {"type": "text", "media_type": "text/plain", "data": (part.data or b"").decode("utf-8", "replace")}


def _source(part: Attachment, mime_type: str) -> Block:
    if part.uri is not None:
        return {"type": "url", "url": part.uri}
    return {"type": "base64", "media_type": mime_type, "data": base64.b64encode(part.data or b"").decode("ascii")}
