"""Turns a conversation into Claude's messages, in the order the Messages API insists on."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from ....core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.request import Call, Target
from ..tool_arguments import object_of

Block = dict[str, Any]

OPENING = "(The conversation begins here.)"
"""What the user is made to say where an assistant turn comes first, which the API refuses."""

UNANSWERED = "No result was given for this call."
"""The result of a tool call that the conversation left behind; without one the API refuses every later turn."""


def messages_of(call: Call) -> list[Block]:
    """The turns as the API takes them: roles alternate, the user is first, tool results lead their turn."""
    turns = _merged(_turns(call))
    if turns and turns[0]["role"] == Role.ASSISTANT.value:
        turns.insert(0, {"role": Role.USER.value, "content": [_text(OPENING)]})
    for before, turn in pairwise(turns):
        if turn["role"] == Role.USER.value:
            turn["content"] = _results_first(_unanswered(before, turn), turn["content"])
    return turns


def _turns(call: Call) -> Iterator[tuple[Role, list[Block]]]:
    for message in call.messages:
        own = _is_own(message, call.target)
        blocks = [block for part in message.parts for block in _blocks(part, message.role, own=own)]
        if blocks:
            yield message.role, blocks


def _is_own(message: Message, target: Target) -> bool:
    """Signatures hold at the provider and model that wrote them, and nowhere else."""
    return message.provider == target.provider and message.model in ("", target.model)


def _merged(turns: Iterable[tuple[Role, list[Block]]]) -> list[Block]:
    merged: list[Block] = []
    for role, blocks in turns:
        if merged and merged[-1]["role"] == role.value:
            merged[-1]["content"].extend(blocks)
        else:
            merged.append({"role": role.value, "content": blocks})
    return merged


def _unanswered(before: Block, turn: Block) -> list[Block]:
    """A result for every call of the turn before that this one does not answer."""
    answered = {block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"}
    calls = [block["id"] for block in before["content"] if block["type"] == "tool_use"]
    return [
        {"type": "tool_result", "tool_use_id": call_id, "content": UNANSWERED, "is_error": True}
        for call_id in calls
        if call_id not in answered
    ]


def _results_first(synthesized: list[Block], blocks: list[Block]) -> list[Block]:
    return sorted([*synthesized, *blocks], key=lambda block: block["type"] != "tool_result")


def _blocks(part: Part, role: Role, *, own: bool) -> list[Block]:
    match part:
        case Text():
            return [_text(part.text)] if part.text else []
        case Reasoning():
            return _reasoning(part) if own else []
        case Attachment():
            # No model takes a file in its own turn: such a turn was written by another provider.
            return [_attachment(part)] if role is Role.USER else []
        case ToolCall():
            return [{"type": "tool_use", "id": part.id, "name": part.name, "input": object_of(part.arguments_json)}]
        case ToolResult():
            return [_result(part)]


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _reasoning(part: Reasoning) -> list[Block]:
    """The signed block, byte for byte. Unsigned reasoning is refused by the API, so it is left out."""
    try:
        state = part.provider_state.decode()
    except UnicodeDecodeError:
        return []
    if not state:
        return []
    if part.redacted:
        return [{"type": "redacted_thinking", "data": state}]
    return [{"type": "thinking", "thinking": part.text, "signature": state}]


def _result(part: ToolResult) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": part.tool_call_id}
    if part.attachments:
        said = [_text(part.output)] if part.output else []
        block["content"] = [*said, *(_attachment(attachment) for attachment in part.attachments)]
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
    # Whatever else was let in is text; the API knows it by no other type.
    return {"type": "text", "media_type": "text/plain", "data": (part.data or b"").decode("utf-8", "replace")}


def _source(part: Attachment, mime_type: str) -> Block:
    if part.uri is not None:
        return {"type": "url", "url": part.uri}
    return {"type": "base64", "media_type": mime_type, "data": base64.b64encode(part.data or b"").decode("ascii")}
