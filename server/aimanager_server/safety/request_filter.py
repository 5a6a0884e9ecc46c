"""Filter everything of a call that is sent to a provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..core.content import Attachment, JsonSchemaFormat, Message, Part, Reasoning, Text, Tool, ToolCall, ToolResult
from ..core.embedding import EmbedCall
from ..core.request import Call, Target
from ..core.response import Event, PartCompleted
from .filter_run import FilterRun
from .joined_parts import JoinedParts
from .json_text import filter_json
from .provider_state import with_safe_state

JSON_START = re.compile(r"\s*+[\[{\"]")

AnyCall = TypeVar("AnyCall", bound=Call)


def filter_call(run: FilterRun, call: AnyCall) -> AnyCall:
    """Return the call with placeholders in its texts. Raises Blocked.

    Names and ids of tools, URLs, and what is not sent, such as labels, stay as they are.
    """
    changes: dict[str, Any] = {
        "system_instruction": run.text("system_instruction", call.system_instruction),
        "tools": tuple(_tool(run, f"tools[{index}]", tool) for index, tool in enumerate(call.tools)),
        "messages": _messages(run, call),
        "output_format": call.output_format,
        "targets": tuple(_target(run, target) for target in call.targets),
    }
    if isinstance(call.output_format, JsonSchemaFormat):
        schema = filter_json(run, "output_format.json_schema", call.output_format.schema_json)
        changes["output_format"] = replace(call.output_format, schema_json=schema)
    return replace(call, **changes) if run.masked else call


def filter_part(run: FilterRun, field: str, part: Part) -> Part:
    """Return the part with placeholders. Without the provider's state, if it belongs to what has changed."""
    filtered = _content(run, field, part)
    if filtered is part:
        return with_safe_state(run, field, part)
    return replace(filtered, provider_state=b"") if part.provider_state else filtered


def filter_bytes(run: FilterRun, field: str, data: bytes) -> bytes:
    """Return a text file with placeholders. Raises Blocked."""
    text = data.decode("utf-8", "surrogateescape")
    filtered = run.text(field, text)
    return data if filtered == text else filtered.encode("utf-8", "surrogateescape")


def _messages(run: FilterRun, call: Call) -> tuple[Message, ...]:
    first = 0 if call.turn is None else call.turn.first_message
    if isinstance(call, EmbedCall):
        parts = (part for message in call.messages for part in message.parts)
        filtered = tuple(filter_part(run, f"inputs[{index}]", part) for index, part in enumerate(parts))
        return tuple(replace(message, parts=filtered) for message in call.messages)
    return tuple(
        _message(run, "conversation_id" if index < first else f"messages[{index - first}]", message)
        for index, message in enumerate(call.messages)
    )


def _message(run: FilterRun, field: str, message: Message) -> Message:
    joined: dict[type[Part], JoinedParts] = {
        kind: JoinedParts(run, kind, lambda index: field) for kind in (Text, Reasoning) if _has_two(kind, message)
    }
    parts = list(message.parts)
    events: list[Event] = []
    for index, part in enumerate(message.parts):
        texts = joined.get(type(part))
        if texts is None:
            parts[index] = filter_part(run, field, part)
        else:
            events += texts.complete(PartCompleted(index, part))
    for event in (*events, *(event for texts in joined.values() for event in texts.finish())):
        assert isinstance(event, PartCompleted)
        parts[event.index] = event.part
    return message if all(map(_is_same, parts, message.parts)) else replace(message, parts=tuple(parts))


def _has_two(kind: type[Part], message: Message) -> bool:
    return sum(type(part) is kind for part in message.parts) > 1


def _is_same(one: object, other: object) -> bool:
    return one is other


def _content(run: FilterRun, field: str, part: Part) -> Part:
    """Return the same part if nothing has changed."""
    match part:
        case Text(text) | Reasoning(text):
            filtered = run.text(field, text)
            return part if filtered == text else replace(part, text=filtered)
        case ToolCall():
            arguments = filter_json(run, field, part.arguments_json)
            return part if arguments == part.arguments_json else replace(part, arguments_json=arguments)
        case ToolResult():
            output = _output(run, field, part.output)
            attachments = tuple(_attachment(run, field, each) for each in part.attachments)
            if output == part.output and all(map(_is_same, attachments, part.attachments)):
                return part
            return replace(part, output=output, attachments=attachments)
        case _:
            return _attachment(run, field, part)


def _output(run: FilterRun, field: str, output: str) -> str:
    """Filter the result of a tool, which often is JSON."""
    return filter_json(run, field, output) if JSON_START.match(output) else run.text(field, output)


def _attachment(run: FilterRun, field: str, attachment: Attachment) -> Attachment:
    filename = run.text(field, attachment.filename)
    data = attachment.data
    if data is not None and attachment.is_text:
        data = filter_bytes(run, field, data)
    if filename == attachment.filename and data is attachment.data:
        return attachment
    return replace(attachment, filename=filename, data=data)


def _tool(run: FilterRun, field: str, tool: Tool) -> Tool:
    description = run.text(f"{field}.description", tool.description)
    schema = filter_json(run, f"{field}.input_schema_json", tool.input_schema_json)
    return replace(tool, description=description, input_schema_json=schema)


def _target(run: FilterRun, target: Target) -> Target:
    """Filter the native options of a provider, and the sequences that stop the model."""
    field = f"provider_options.{target.provider}"
    options = {key: _value(run, field, value) for key, value in target.options.items()}
    stops = tuple(run.text("sampling.stop_sequences", stop) for stop in target.sampling.stop_sequences)
    return replace(target, options=options, sampling=replace(target.sampling, stop_sequences=stops))


def _value(run: FilterRun, field: str, value: Any) -> Any:
    """Filter a JSON value, whose depth the validation of the request has limited."""
    if isinstance(value, str):
        return run.text(field, value)
    if isinstance(value, Mapping):
        return {run.text(field, str(key)): _value(run, field, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(run, field, each) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
        filtered = run.text(field, text)
        return value if filtered == text else filtered
    return value
