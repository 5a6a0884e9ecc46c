"""Encode a conversation as chat-completions messages."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from ....core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.errors import CapabilityUnsupported
from ....core.request import Attempt
from ..openai_breakpoints import breakpoint_field
from ..prompt_markers import MarkedPrompt
from .message_fixups import acknowledge_tool_results
from .quirks import Quirks

Json = dict[str, Any]
TEXT_TYPES = ("application/json", "application/xml")


def encode_messages(attempt: Attempt[Any], quirks: Quirks, prompt: MarkedPrompt | None = None) -> list[Json]:
    """Return the system instruction and the turns in order, with tool results directly after their tool calls.

    With a `prompt`, its parts with a cache hint become breakpoints, which only lists of content can have. So that a
    later request begins with the same messages, those of the user and of tools are then lists in any case.
    """
    messages: list[Json] = []
    is_list = prompt is not None
    if attempt.system_instruction and prompt is not None and prompt.system is not None:
        content = [{"type": "text", "text": attempt.system_instruction, **breakpoint_field(prompt.system)}]
        messages.append({"role": quirks.system_role, "content": content})
    elif attempt.system_instruction:
        messages.append({"role": quirks.system_role, "content": attempt.system_instruction})
    for role, turns in groupby(attempt.messages, key=lambda message: message.role):
        if role is Role.ASSISTANT:
            messages.extend(_assistant(turn, attempt.target.provider, quirks) for turn in turns if _has_content(turn))
        else:
            messages.extend(_user(list(turns), quirks, is_list=is_list))
    return messages if quirks.allows_user_after_tool else list(acknowledge_tool_results(messages))


def _has_content(turn: Message) -> bool:
    return any(isinstance(part, ToolCall) or (isinstance(part, Text) and part.text) for part in turn.parts)


def _assistant(turn: Message, provider: str, quirks: Quirks) -> Json:
    text = "".join(part.text for part in turn.parts if isinstance(part, Text))
    calls = [_tool_call(part, quirks) for part in turn.parts if isinstance(part, ToolCall)]
    message: Json = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = calls
    # Servers accept only their own reasoning.
    reasoning = "".join(part.text for part in turn.parts if isinstance(part, Reasoning))
    if reasoning and quirks.reasoning_field and turn.provider in ("", provider):
        message[quirks.reasoning_field] = reasoning
    if reasoning and quirks.reasoning_in_content and turn.provider in ("", provider):
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
        message["content"] = [thinking, {"type": "text", "text": text}] if text else [thinking]
    return message


def _tool_call(call: ToolCall, quirks: Quirks) -> Json:
    function = {"name": call.name, "arguments": call.arguments_json or "{}"}
    return {"id": quirks.call_ids.fit(call.id), "type": "function", "function": function}


def _user(turns: list[Message], quirks: Quirks, *, is_list: bool) -> Iterator[Json]:
    parts = [part for turn in turns for part in turn.parts]
    results = [part for part in parts if isinstance(part, ToolResult)]
    for result in results:
        output: str | list[Json] = f"Error: {result.output}" if result.is_error else result.output
        if is_list:
            output = [{"type": "text", "text": output, **breakpoint_field(result.cache_hint)}]
        yield {"role": "tool", "tool_call_id": quirks.call_ids.fit(result.tool_call_id), "content": output}
    # A tool message carries only text, so the files of a tool follow in a separate user turn.
    files = [content for number, result in enumerate(results, 1) for content in _files(number, result)]
    if files:
        yield {"role": "user", "content": files}
    for turn in turns:
        content = [{**_content(part), **breakpoint_field(part.cache_hint)} for part in _visible_parts(turn.parts)]
        if content:
            yield {"role": "user", "content": content if is_list else _simplify(content)}


def _visible_parts(parts: Iterable[Part]) -> Iterator[Text | Attachment]:
    for part in parts:
        if isinstance(part, Attachment) or (isinstance(part, Text) and part.text):
            yield part


def _simplify(content: list[Json]) -> str | list[Json]:
    """Return a single text as a string, which every server accepts."""
    if len(content) == 1 and content[0]["type"] == "text":
        text: str = content[0]["text"]
        return text
    return content


def _files(number: int, result: ToolResult) -> list[Json]:
    """Return the files under a label without the id, which a model might quote and this wire may have rewritten."""
    if not result.attachments:
        return []
    tool = f" ({result.name})" if result.name else ""
    return [
        {"type": "text", "text": f"Files of tool result {number}{tool}:"},
        *(_content(attachment) for attachment in result.attachments),
    ]


def _content(part: Text | Attachment) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if part.is_image:
        return {"type": "image_url", "image_url": {"url": part.uri or _data_url(part)}}
    if part.data is None:
        raise CapabilityUnsupported(
            f"{part.mime_type!r} attachments must be sent as data on the chat-completions API, got a URI.",
            solution="Send the bytes of the file, or use a provider that fetches URIs.",
        )
    if part.mime_type == "application/pdf":
        return {"type": "file", "file": {"filename": part.filename or "file.pdf", "file_data": _data_url(part)}}
    if part.mime_type.startswith("text/") or part.mime_type in TEXT_TYPES:
        text = part.data.decode("utf-8", "replace")
        return {"type": "text", "text": f"{part.filename}:\n{text}" if part.filename else text}
    raise CapabilityUnsupported(
        f"The chat-completions API does not accept {part.mime_type!r} attachments: use an image, a PDF or text."
    )


def _data_url(part: Attachment) -> str:
    return f"data:{part.mime_type};base64,{b64encode(part.data or b'').decode('ascii')}"
