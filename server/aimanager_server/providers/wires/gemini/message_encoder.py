"""Encode a conversation as Gemini contents: roles alternate, and tool results refer to the function name."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any

from ....core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.provider_state import unmarked
from ....core.request import Attempt, Target
from ..tool_arguments import parse_tool_arguments

Json = dict[str, Any]

ROLES = {Role.USER: "user", Role.ASSISTANT: "model"}

PLACEHOLDER_SIGNATURE = "skip_thought_signature_validator"
"""Replaces the signature of a tool call by another model; the API rejects unsigned calls.
https://ai.google.dev/gemini-api/docs/thought-signatures, read 2026-11-22."""

TEXT_TYPES = ("application/json", "application/xml")


def encode_contents(attempt: Attempt[Any], *, uses_signatures: bool) -> list[Json]:
    """Return the turns as the API accepts them.

    `uses_signatures`: the model requires the signatures of its tool calls, and reads files inside tool results.
    """
    encoder = _MessageEncoder(attempt, uses_signatures=uses_signatures)
    contents = _merged(encoder.turns())
    for content in contents:
        content["parts"].sort(key=lambda part: "functionResponse" not in part)
    if uses_signatures:
        _sign_current_turn(contents)
    return contents


class _MessageEncoder:
    def __init__(self, attempt: Attempt[Any], *, uses_signatures: bool) -> None:
        self._messages = attempt.messages
        self._target = attempt.target
        self._omits_state = attempt.omits_state
        self._uses_signatures = uses_signatures
        parts = (part for message in attempt.messages for part in message.parts)
        self._names = {part.id: part.name for part in parts if isinstance(part, ToolCall)}

    def turns(self) -> Iterator[tuple[Role, list[Json]]]:
        for message in self._messages:
            from_target = _is_from_target(message, self._target) and not self._omits_state
            parts = [
                encoded
                for part in message.parts
                for encoded in self._encode(part, message.role, from_target=from_target)
            ]
            if parts:
                yield message.role, parts

    def _encode(self, part: Part, role: Role, *, from_target: bool) -> list[Json]:
        state = _signature(part) if from_target else {}
        match part:
            case Text():
                return [{"text": part.text, **state}] if part.text or state else []
            case Reasoning():
                # Reasoning without a signature is a summary, which the model does not read.
                return [{"text": part.text, "thought": True, **state}] if state else []
            case Attachment():
                # The API rejects files in model turns; such a turn comes from another provider.
                return [_attachment(part)] if role is Role.USER else []
            case ToolCall():
                function_call = {"id": part.id, "name": part.name, "args": parse_tool_arguments(part.arguments_json)}
                return [{"functionCall": function_call, **state}]
            case ToolResult():
                return self._result(part)

    def _result(self, part: ToolResult) -> list[Json]:
        response: Json = {
            "id": part.tool_call_id,
            "name": self._names.get(part.tool_call_id) or part.name,
            "response": {"error" if part.is_error else "result": part.output},
        }
        files = [_attachment(attachment) for attachment in part.attachments]
        texts = [file for file in files if not self._uses_signatures or "text" in file]
        inline = [file for file in files if file not in texts]
        if inline:
            response["parts"] = inline
        label = [{"text": f"Files of the tool call {part.tool_call_id}:"}] if texts else []
        return [{"functionResponse": response}, *label, *texts]


def _is_from_target(message: Message, target: Target) -> bool:
    """Return whether the target wrote the message. Signatures are valid only for the model that created them."""
    return message.provider == target.provider and message.model in ("", target.model)


def _signature(part: Part) -> Json:
    try:
        state = unmarked(part.provider_state).decode()
    except UnicodeDecodeError:
        return {}
    return {"thoughtSignature": state} if state else {}


def _merged(turns: Iterable[tuple[Role, list[Json]]]) -> list[Json]:
    merged: list[Json] = []
    for role, parts in turns:
        if merged and merged[-1]["role"] == ROLES[role]:
            merged[-1]["parts"].extend(parts)
        else:
            merged.append({"role": ROLES[role], "parts": parts})
    return merged


def _sign_current_turn(contents: list[Json]) -> None:
    """Sign the first tool call of every model turn since the last user message, as the API requires."""
    for content in reversed(contents):
        if content["role"] == "user" and not any("functionResponse" in part for part in content["parts"]):
            return
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None:
            first.setdefault("thoughtSignature", PLACEHOLDER_SIGNATURE)


def _attachment(part: Attachment) -> Json:
    mime_type = part.mime_type.partition(";")[0].strip().lower()
    mime_type = "image/jpeg" if mime_type == "image/jpg" else mime_type
    if part.uri is not None:
        return {"fileData": {"mimeType": mime_type, "fileUri": part.uri}}
    data = part.data or b""
    if mime_type.startswith("text/") or mime_type in TEXT_TYPES:
        text = data.decode("utf-8", "replace")
        return {"text": f"{part.filename}:\n{text}" if part.filename else text}
    return {"inlineData": {"mimeType": mime_type, "data": b64encode(data).decode("ascii")}}
