"""Writes the conversation as the input items of the Responses API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import groupby

from ....core.content import Attachment, JsonObjectFormat, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.errors import CapabilityUnsupported
from ....core.request import Call, Target
from .provider_state import Json, kind_and_phase, reasoning_item

TEXT_TYPES = ("application/json", "application/xml")

IN_JSON = "Answer with a JSON object."
"""Said where JSON is asked for and no message speaks of it: the API refuses that, and does not count instructions."""


def input_of(call: Call) -> list[Json]:
    """The turns as items in their order; results of tools lead the turns that follow the calls."""
    items: list[Json] = []
    for role, turns in groupby(call.messages, key=lambda message: message.role):
        if role is Role.ASSISTANT:
            items.extend(item for turn in turns for item in _assistant(turn, call.target))
        else:
            items.extend(_user([part for turn in turns for part in turn.parts]))
    if isinstance(call.output_format, JsonObjectFormat) and not _speaks_of_json(call.messages):
        items.insert(0, {"role": "developer", "content": [_text(IN_JSON)]})
    return items


def _assistant(turn: Message, target: Target) -> list[Json]:
    """Each reasoning item stands before the item it led to; one that led to nothing would be refused."""
    own = turn.provider == target.provider and turn.model in ("", target.model)
    items: list[Json] = []
    thought: list[Json] = []
    for part in turn.parts:
        if isinstance(part, Reasoning):
            # It means something to the model that wrote it, and to no other.
            item = reasoning_item(part.provider_state) if own else None
            thought += [item] if item else []
        elif isinstance(part, Text) and part.text:
            _say(items, thought, part, own=own)
        elif isinstance(part, ToolCall):
            items += [*thought, _call(part)]
            thought = []
    return items


def _say(items: list[Json], thought: list[Json], part: Text, *, own: bool) -> None:
    """Add the text to the message before it, where that is of the same phase, or as a message of its own."""
    kind, phase = kind_and_phase(part.provider_state if own else b"")
    content: Json = {"type": "refusal", "refusal": part.text}
    if kind == "output_text":
        content = {"type": "output_text", "text": part.text, "annotations": []}
    last = items[-1] if items else {}
    if not thought and last.get("role") == "assistant" and last.get("phase", "") == phase:
        last["content"].append(content)
        return
    message: Json = {"type": "message", "role": "assistant", "content": [content]}
    items += [*thought, {**message, "phase": phase} if phase else message]
    thought.clear()


def _call(part: ToolCall) -> Json:
    arguments = part.arguments_json or "{}"
    return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments}


def _user(parts: list[Part]) -> Iterator[Json]:
    for part in parts:
        if isinstance(part, ToolResult):
            yield {"type": "function_call_output", "call_id": part.tool_call_id, "output": _output(part)}
    content = list(_contents(parts))
    if content:
        yield {"role": "user", "content": content}


def _output(result: ToolResult) -> str | list[Json]:
    said = f"Error: {result.output}" if result.is_error else result.output
    if not result.attachments:
        return said
    return [*([_text(said)] if said else []), *_contents(result.attachments)]


def _contents(parts: Iterable[Part]) -> Iterator[Json]:
    for part in parts:
        if isinstance(part, Attachment):
            yield _file(part)
        elif isinstance(part, Text) and part.text:
            yield _text(part.text)


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
    raise CapabilityUnsupported(f"This wire takes no {part.mime_type!r}: only image/*, application/pdf and text/*.")


def _data_url(part: Attachment) -> str:
    return f"data:{part.mime_type};base64,{b64encode(part.data or b'').decode('ascii')}"


def _speaks_of_json(messages: Iterable[Message]) -> bool:
    texts = (part.text for message in messages for part in message.parts if isinstance(part, Text))
    return any("json" in text.lower() for text in texts)
