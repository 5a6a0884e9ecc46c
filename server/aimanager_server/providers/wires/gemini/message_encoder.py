"""Turns a conversation into Gemini's contents: roles alternate, results go by the name of their function."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any

from ....core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ....core.request import Call, Target
from ..tool_arguments import object_of

Json = dict[str, Any]

ROLES = {Role.USER: "user", Role.ASSISTANT: "model"}

UNSIGNED = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made, which the API would refuse without one.
https://ai.google.dev/gemini-api/docs/thought-signatures, read 2026-11-22."""

TEXT_TYPES = ("application/json", "application/xml")


def contents_of(call: Call, *, signed: bool) -> list[Json]:
    """The turns as the API takes them.

    `signed`: the model signs its calls and wants the signatures back; it also reads files inside results of functions.
    """
    writer = _Writer(call, signed=signed)
    contents = _merged(writer.turns())
    for content in contents:
        content["parts"].sort(key=lambda part: "functionResponse" not in part)
    if signed:
        _sign_current_turn(contents)
    return contents


class _Writer:
    def __init__(self, call: Call, *, signed: bool) -> None:
        self._messages = call.messages
        self._target = call.target
        self._signed = signed
        parts = (part for message in call.messages for part in message.parts)
        self._names = {part.id: part.name for part in parts if isinstance(part, ToolCall)}

    def turns(self) -> Iterator[tuple[Role, list[Json]]]:
        for message in self._messages:
            own = _is_own(message, self._target)
            parts = [written for part in message.parts for written in self._written(part, message.role, own=own)]
            if parts:
                yield message.role, parts

    def _written(self, part: Part, role: Role, *, own: bool) -> list[Json]:
        state = _signature(part) if own else {}
        match part:
            case Text():
                return [{"text": part.text, **state}] if part.text or state else []
            case Reasoning():
                # Thoughts without a signature are only a summary, which the model does not read.
                return [{"text": part.text, "thought": True, **state}] if state else []
            case Attachment():
                # No model takes a file in its own turn: such a turn was written by another provider.
                return [_attachment(part)] if role is Role.USER else []
            case ToolCall():
                called = {"id": part.id, "name": part.name, "args": object_of(part.arguments_json)}
                return [{"functionCall": called, **state}]
            case ToolResult():
                return self._result(part)

    def _result(self, part: ToolResult) -> list[Json]:
        answer: Json = {
            "id": part.tool_call_id,
            "name": self._names.get(part.tool_call_id) or part.name,
            "response": {"error" if part.is_error else "result": part.output},
        }
        files = [_attachment(attachment) for attachment in part.attachments]
        texts = [file for file in files if not self._signed or "text" in file]
        inside = [file for file in files if file not in texts]
        if inside:
            answer["parts"] = inside
        label = [{"text": f"Files of the tool call {part.tool_call_id}:"}] if texts else []
        return [{"functionResponse": answer}, *label, *texts]


def _is_own(message: Message, target: Target) -> bool:
    """Signatures hold at the provider and model that wrote them, and nowhere else."""
    return message.provider == target.provider and message.model in ("", target.model)


def _signature(part: Part) -> Json:
    try:
        state = part.provider_state.decode()
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
    """Every step since the user last spoke begins with a signed call: the first of parallel ones carries it for all."""
    for content in reversed(contents):
        if content["role"] == "user" and not any("functionResponse" in part for part in content["parts"]):
            return
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None:
            first.setdefault("thoughtSignature", UNSIGNED)


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
