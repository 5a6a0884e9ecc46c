"""Encode a conversation as the input items of the Responses API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from ....core.content import (
    Attachment,
    CacheHint,
    JsonObjectFormat,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from ....core.errors import CapabilityUnsupported
from ....core.request import Attempt
from ..call_ids import RESPONSES as CALL_IDS
from ..openai_breakpoints import breakpoint_field
from .compaction import compacted_items
from .provider_state import Json, decode_kind_and_phase, decode_reasoning_item

TEXT_TYPES = ("application/json", "application/xml")

JSON_INSTRUCTION = "Answer with a JSON object."
"""Added if JSON output is requested and no message mentions JSON: the API rejects that, whatever the instructions."""


def encode_input(attempt: Attempt[Any], key: str, *, is_marked: bool = False) -> list[Json]:
    """Return the turns as items in order; tool results come first in the turn after the tool calls.

    `key` is the API key: a compaction that it obtained replaces the summary of the same turns. `is_marked`: parts with
    a cache hint become breakpoints, which only lists of content can have. So that a later request begins with the same
    items, the results of tools are then lists whether or not they have one.
    """
    items: list[Json] = []
    for role, turns in groupby(attempt.messages, key=lambda message: message.role):
        if role is Role.ASSISTANT:
            items.extend(item for turn in turns for item in _assistant(turn, attempt))
        else:
            items.extend(_user_turns(turns, attempt, key, is_marked=is_marked))
    if isinstance(attempt.output_format, JsonObjectFormat) and not _mentions_json(attempt.messages):
        items.insert(0, {"role": "developer", "content": [_text(JSON_INSTRUCTION)]})
    return items


def _assistant(turn: Message, attempt: Attempt[Any]) -> list[Json]:
    """Return the items of a turn. The API rejects a reasoning item that no other item follows, so it is omitted."""
    target = attempt.target
    from_target = turn.provider == target.provider and turn.model in ("", target.model)
    items: list[Json] = []
    pending_reasoning: list[Json] = []
    for part in turn.parts:
        if isinstance(part, Reasoning):
            # Only the model that wrote the reasoning can read it.
            is_sent = from_target and not attempt.omits_state
            item = decode_reasoning_item(part.provider_state) if is_sent else None
            pending_reasoning += [item] if item else []
        elif isinstance(part, Text) and part.text:
            _append_text(items, pending_reasoning, part, from_target=from_target)
        elif isinstance(part, ToolCall):
            items += [*pending_reasoning, _call(part)]
            pending_reasoning = []
    for item in items:
        if "content" in item and item.get("role"):
            item["content"] = "".join(item["content"])
    return items


def _append_text(items: list[Json], pending_reasoning: list[Json], part: Text, *, from_target: bool) -> None:
    """Append the text to the previous message of the same phase, or as a new message.

    The content is a string: a list of content may only be sent with the id and status of a stored message, and strict
    servers reject it otherwise.
    """
    _, phase = decode_kind_and_phase(part.provider_state if from_target else b"")
    last = items[-1] if items else {}
    if not pending_reasoning and last.get("role") == "assistant" and last.get("phase", "") == phase:
        last["content"].append(part.text)
        return
    message: Json = {"role": "assistant", "content": [part.text]}
    items += [*pending_reasoning, {**message, "phase": phase} if phase else message]
    pending_reasoning.clear()


def _call(part: ToolCall) -> Json:
    arguments = part.arguments_json or "{}"
    return {"type": "function_call", "call_id": CALL_IDS.fit(part.id), "name": part.name, "arguments": arguments}


def encode_instruction(instruction: str, hint: CacheHint) -> Json:
    """Return the system instruction as the first item, which can have a breakpoint."""
    return {"role": "developer", "content": [{**_text(instruction), **breakpoint_field(hint)}]}


def _user_turns(turns: Iterable[Message], attempt: Attempt[Any], key: str, *, is_marked: bool) -> Iterator[Json]:
    parts: list[Part] = []
    for turn in turns:
        compacted = [] if attempt.omits_state else compacted_items(turn, attempt.target, key)
        if compacted:
            yield from _user(parts, is_marked=is_marked)
            yield from compacted
            parts = []
        else:
            parts += turn.parts
    yield from _user(parts, is_marked=is_marked)


def _user(parts: list[Part], *, is_marked: bool) -> Iterator[Json]:
    for part in parts:
        if isinstance(part, ToolResult):
            output = _output(part, is_list=is_marked)
            yield {"type": "function_call_output", "call_id": CALL_IDS.fit(part.tool_call_id), "output": output}
    content = list(_contents(parts))
    if content:
        yield {"role": "user", "content": content}


def _output(result: ToolResult, *, is_list: bool) -> str | list[Json]:
    text = f"Error: {result.output}" if result.is_error else result.output
    if not (result.attachments or is_list):
        return text
    content = [*([_text(text)] if text or not result.attachments else []), *_contents(result.attachments)]
    content[-1] |= breakpoint_field(result.cache_hint)
    return content


def _contents(parts: Iterable[Part]) -> Iterator[Json]:
    for part in parts:
        if isinstance(part, Attachment):
            yield {**_file(part), **breakpoint_field(part.cache_hint)}
        elif isinstance(part, Text) and part.text:
            yield {**_text(part.text), **breakpoint_field(part.cache_hint)}


def _text(text: str) -> Json:
    return {"type": "input_text", "text": text}


def _file(part: Attachment) -> Json:
    if part.is_image:
        return {"type": "input_image", "image_url": part.uri or _data_url(part), "detail": "auto"}
    if part.uri is not None:
        return {"type": "input_file", "file_url": part.uri}
    if part.mime_type == "application/pdf":
        return {"type": "input_file", "filename": part.filename or "file.pdf", "file_data": _data_url(part)}
    if part.mime_type.startswith("text/") or part.mime_type in TEXT_TYPES:
        text = (part.data or b"").decode("utf-8", "replace")
        return _text(f"{part.filename}:\n{text}" if part.filename else text)
    raise CapabilityUnsupported(
        f"The Responses API does not accept {part.mime_type!r} attachments: use an image, a PDF or text."
    )


def _data_url(part: Attachment) -> str:
    return f"data:{part.mime_type};base64,{b64encode(part.data or b'').decode('ascii')}"


def _mentions_json(messages: Iterable[Message]) -> bool:
    # A compaction may be sent in place of a user's text with state.
    texts = (
        part.text
        for message in messages
        for part in message.parts
        if isinstance(part, Text) and not (message.role is Role.USER and part.provider_state)
    )
    return any("json" in text.lower() for text in texts)
