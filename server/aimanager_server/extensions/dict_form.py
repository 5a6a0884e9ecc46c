"""Requests and responses as dicts, which `process_request` and `process_response` receive and return.

The keys are the names of the fields. A message is `{"role": "user", "parts": [{"text": "Hi"}]}`, and a part has the
name of its kind: `text`, `reasoning`, `attachment`, `tool_call` or `tool_result`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import Any, TypeVar

from ..core.content import (
    Attachment,
    Effort,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningOptions,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
    ToolResult,
)
from .views import ExtensionCall, ExtensionRequest, ExtensionResponse

Value = TypeVar("Value")

PART_KINDS: Mapping[str, type[Part]] = {
    "reasoning": Reasoning,
    "attachment": Attachment,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
}
KIND_OF_PART = {kind: name for name, kind in PART_KINDS.items()}
FORMATS: Mapping[str, type[OutputFormat]] = {"json_object": JsonObjectFormat, "json_schema": JsonSchemaFormat}
CALL_KEYS = ("id", "caller", "requested_model", "provider", "model", "conversation_id", "is_streamed")
"""Keys of a request that describe the call and cannot be changed."""


class InvalidResult(Exception):
    """What an extension returned is invalid. `field` is its path; `description` completes "<field> …"."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field} {description}")
        self.field = field
        self.description = description


def request_to_dict(call: ExtensionCall, request: ExtensionRequest) -> dict[str, Any]:
    """Return the request, with what is known of the call."""
    sampling, reasoning, choice = request.sampling, request.reasoning, request.tool_choice
    return {
        "id": call.id,
        "caller": call.caller,
        "requested_model": call.requested_model,
        "provider": call.provider,
        "model": call.model,
        "conversation_id": call.conversation_id,
        "is_streamed": call.is_streamed,
        "messages": [_message(message) for message in request.messages],
        "history": [_message(message) for message in request.history],
        "system_instruction": request.system_instruction,
        "sampling": {
            "max_output_tokens": sampling.max_output_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": sampling.seed,
            "stop_sequences": list(sampling.stop_sequences),
        },
        "reasoning": {
            "effort": None if reasoning.effort is None else reasoning.effort.label,
            "budget_tokens": reasoning.budget_tokens,
            "include": reasoning.include,
            "is_include_optional": reasoning.is_include_optional,
        },
        "tools": [_plain(tool) for tool in request.tools],
        "tool_choice": {
            "mode": None if choice.mode is None else choice.mode.value,
            "tool_name": choice.tool_name,
            "parallel": choice.parallel,
        },
        "output_format": _format(request.output_format),
        "labels": dict(request.labels),
        "end_user_id": request.end_user_id,
        "provider_options": {name: dict(options) for name, options in request.provider_options.items()},
    }


def request_from_dict(result: object, sent: Mapping[str, Any]) -> ExtensionRequest:
    """Return the request of a dict. Raises InvalidResult for another key, or a key of `sent` that must not change."""
    values = _mapping("process_request()", result, sent)
    for key in CALL_KEYS:
        if values.get(key, sent[key]) != sent[key]:
            raise InvalidResult(key, "must not be changed")
    return ExtensionRequest(
        messages=_each("messages", values.get("messages"), _to_message),
        history=_each("history", values.get("history", sent["history"]), _to_message),
        system_instruction=values.get("system_instruction", ""),
        sampling=_to(Sampling, "sampling", values.get("sampling", {}), stop_sequences=_as_tuple),
        reasoning=_to(ReasoningOptions, "reasoning", values.get("reasoning", {}), effort=_to_effort),
        tools=_each("tools", values.get("tools", ()), lambda path, tool: _to(Tool, path, tool)),
        tool_choice=_to(ToolChoice, "tool_choice", values.get("tool_choice", {}), mode=_optional(ToolMode)),
        output_format=_to_format(values.get("output_format")),
        labels=values.get("labels", {}),
        end_user_id=values.get("end_user_id", ""),
        provider_options=values.get("provider_options", {}),
    )


def response_to_dict(call: ExtensionCall, response: ExtensionResponse) -> dict[str, Any]:
    """Return the response, with what is known of the call. `content` is the text of `parts`."""
    usage, cost = response.usage, response.cost
    return {
        "id": call.id,
        "caller": call.caller,
        "requested_model": call.requested_model,
        "conversation_id": call.conversation_id,
        "is_streamed": call.is_streamed,
        "content": response.text,
        "parts": [_part(part) for part in response.parts],
        "provider": response.provider,
        "model": response.model,
        "finish_reason": response.finish_reason.value,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "cost_nanos": None if cost is None else cost.total_nanos,
        "structured_json": response.structured_json,
        "artifacts": [_plain(artifact) for artifact in response.artifacts],
    }


def response_from_dict(result: object, sent: Mapping[str, Any], response: ExtensionResponse) -> ExtensionResponse:
    """Return the response of a dict: with its `content` if that was changed, or else its `parts`.

    Raises InvalidResult for another key, and if something else was changed.
    """
    values = _mapping("process_response()", result, sent)
    for key in sent.keys() - {"content", "parts"}:
        if values.get(key, sent[key]) != sent[key]:
            raise InvalidResult(key, "must not be changed; change content or parts")
    content, parts = values.get("content", sent["content"]), values.get("parts", sent["parts"])
    if content != sent["content"]:
        if parts != sent["parts"]:
            raise InvalidResult("content", "must not be changed together with parts")
        if not isinstance(content, str):
            raise InvalidResult("content", f"must be str, got {type(content).__name__}")
        return response.with_text(content)
    if parts == sent["parts"]:
        return response
    changed = _each("parts", parts, _to_part)
    return ExtensionResponse(
        changed, response.provider, response.model, response.finish_reason, response.usage, response.cost,
        response.structured_json, response.artifacts,
    )  # fmt: skip


def _message(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role.value, "parts": [_part(part) for part in message.parts]}
    if message.provider:
        fields |= {"provider": message.provider, "model": message.model}
    return fields


def _part(part: Part) -> dict[str, Any]:
    if type(part) is Text:
        if part.provider_state:
            return {"text": part.text, "provider_state": part.provider_state}
        return {"text": part.text}
    return {KIND_OF_PART[type(part)]: _plain(part)}


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass without enums and tuples."""
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, ToolResult):
        found["attachments"] = [_plain(attachment) for attachment in value.attachments]
    return found


def _format(output_format: OutputFormat | None) -> dict[str, Any] | None:
    match output_format:
        case None:
            return None
        case JsonObjectFormat():
            return {"json_object": {}}
        case JsonSchemaFormat():
            return {"json_schema": _plain(output_format)}


def _mapping(path: str, value: object, known: Mapping[str, Any] | Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidResult(path, f"must be a dict, got {type(value).__name__}")
    for key in value:
        if key not in known:
            raise InvalidResult(path, f"has an unknown key {key!r:.100}; known keys: {', '.join(known)}")
    return value


def _each(path: str, values: object, convert: Callable[[str, Any], Value]) -> tuple[Value, ...]:
    if not isinstance(values, list | tuple):
        raise InvalidResult(path, f"must be a list, got {type(values).__name__}")
    return tuple(convert(f"{path}[{index}]", value) for index, value in enumerate(values))


def _to_message(path: str, value: object) -> Message:
    given = _mapping(path, value, ("role", "content", "parts", "provider", "model"))
    parts = given.get("parts", ())
    if "content" in given:
        if parts:
            raise InvalidResult(path, "must not have both content and parts")
        parts = ({"text": given["content"]},)
    return Message(
        _member(Role, f"{path}.role", given.get("role")), _each(f"{path}.parts", parts, _to_part),
        given.get("provider", ""), given.get("model", ""),
    )  # fmt: skip


def _to_part(path: str, value: object) -> Part:
    given = _mapping(path, value, ("text", "provider_state", *PART_KINDS))
    if "text" in given:
        return Text(**_mapping(path, given, ("text", "provider_state")))
    if len(given) != 1 or "provider_state" in given:
        raise InvalidResult(path, f"must have one of the keys text, {', '.join(PART_KINDS)}")
    ((kind, content),) = given.items()
    path = f"{path}.{kind}"
    return _to(PART_KINDS[kind], path, content, attachments=_to_attachments)


def _to_attachments(path: str, value: object) -> tuple[Attachment, ...]:
    return _each(path, value, lambda each, item: _to(Attachment, each, item))


def _to_format(value: object) -> OutputFormat | None:
    if value is None:
        return None
    given = _mapping("output_format", value, tuple(FORMATS))
    if len(given) != 1:
        raise InvalidResult("output_format", f"must have one of the keys {', '.join(FORMATS)}")
    ((kind, content),) = given.items()
    return _to(FORMATS[kind], f"output_format.{kind}", content)


def _to(kind: type[Value], path: str, value: object, **converted: Callable[[str, Any], Any]) -> Value:
    """Return the dataclass with these fields, some of which are converted. Types are checked later."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # all kinds are dataclasses
    given = dict(_mapping(path, value, names))
    for name, convert in converted.items():
        if name in given:
            given[name] = convert(f"{path}.{name}", given[name])
    try:
        return kind(**given)
    except TypeError as error:
        raise InvalidResult(path, f"is incomplete: {error}") from None


def _as_tuple(path: str, value: object) -> object:
    return _each(path, value, lambda _, item: item)


def _to_effort(path: str, value: object) -> Effort | None:
    if value is None:
        return None
    for effort in Effort:
        if effort.label == value:
            return effort
    raise InvalidResult(path, f"must be one of {', '.join(effort.label for effort in Effort)}, got {value!r:.100}")


def _optional(kind: type[Any]) -> Callable[[str, object], Any]:
    return lambda path, value: None if value is None else _member(kind, path, value)


def _member(kind: type[Any], path: str, value: object) -> Any:
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(str(member.value) for member in kind if isinstance(member, Enum))
        raise InvalidResult(path, f"must be one of {names}, got {value!r:.100}") from None
