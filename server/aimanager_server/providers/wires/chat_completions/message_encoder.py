"""Writes the conversation as chat-completions messages."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from ....core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.errors import CapabilityUnsupported
from ....core.request import Call
from .message_fixups import adjusted
from .quirks import Quirks

Json = dict[str, Any]
TEXT_TYPES = ("application/json", "application/xml")


def messages_of(call: Call, quirks: Quirks) -> list[Json]:
    """Instructions first, then the turns in order; results of tools directly after the turn that asked for them."""
    messages: list[Json] = []
    if call.system_instruction:
        messages.append({"role": quirks.system_role, "content": call.system_instruction})
    for role, turns in groupby(call.messages, key=lambda message: message.role):
        if role is Role.ASSISTANT:
            messages.extend(_assistant(turn, call.target.provider, quirks) for turn in turns if _says_something(turn))
        else:
            messages.extend(_user(list(turns)))
    return adjusted(messages, quirks)


def _says_something(turn: Message) -> bool:
    return any(isinstance(part, ToolCall) or (isinstance(part, Text) and part.text) for part in turn.parts)


def _assistant(turn: Message, provider: str, quirks: Quirks) -> Json:
    text = "".join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [_tool_call(part) for part in turn.parts if isinstance(part, ToolCall)]
    message: Json = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    # Reasoning of another provider means nothing to this one, and inventing it is refused.
    reasoning = "".join(part.text for part in turn.parts if isinstance(part, Reasoning))
    if reasoning and quirks.reasoning_field and turn.provider in ("", provider):
        message[quirks.reasoning_field] = reasoning
    if reasoning and quirks.reasoning_in_content and turn.provider in ("", provider):
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
        message["content"] = [thinking, {"type": "text", "text": text}] if text else [thinking]
    return message


def _tool_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments_json or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _user(turns: list[Message]) -> Iterator[Json]:
    parts = [part for turn in turns for part in turn.parts]
    results = [part for part in parts if isinstance(part, ToolResult)]
    for result in results:
        output = f"Error: {result.output}" if result.is_error else result.output
        yield {"role": "tool", "tool_call_id": result.tool_call_id, "content": output}
    # A tool message carries text alone, so a tool's files follow in a user turn of their own.
    files = [content for result in results for content in _files(result)]
    if files:
        yield {"role": "user", "content": files}
    for turn in turns:
        content = [_content(part) for part in _said(turn.parts)]
        if content:
            yield {"role": "user", "content": _bare(content)}


def _said(parts: Iterable[Part]) -> Iterator[Text | Attachment]:
    for part in parts:
        if isinstance(part, Attachment) or (isinstance(part, Text) and part.text):
            yield part


def _bare(content: list[Json]) -> str | list[Json]:
    """A single text goes as a string, which every server takes."""
    if len(content) == 1 and content[0]["type"] == "text":
        text: str = content[0]["text"]
        return text
    return content


def _files(result: ToolResult) -> list[Json]:
    if not result.attachments:
        return []
    return [
        {"type": "text", "text": f"Files of the tool call {result.tool_call_id}:"},
        *(_content(attachment) for attachment in result.attachments),
    ]


def _content(part: Text | Attachment) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.is_image:
        return {"type": "image_url", "image_url": {"url": part.uri or _data_url(part)}}
    if part.data is None:
        raise CapabilityUnsupported(
            f"This wire takes {part.mime_type!r} only as bytes, not by its address.",
            solution="Read the file and send its bytes, or use a provider that fetches addresses.",
        )
    if part.mime_type == "application/pdf":
        return {"type": "file", "file": {"filename": part.filename or "file.pdf", "file_data": _data_url(part)}}
    if part.mime_type.startswith("text/") or part.mime_type in TEXT_TYPES:
        text = part.data.decode("utf-8", "replace")
        return {"type": "text", "text": f"{part.filename}:\n{text}" if part.filename else text}
    raise CapabilityUnsupported(f"This wire takes no {part.mime_type!r}: only image/*, application/pdf and text/*.")


def _data_url(part: Attachment) -> str:
    return f"data:{part.mime_type};base64,{b64encode(part.data or b'').decode('ascii')}"
