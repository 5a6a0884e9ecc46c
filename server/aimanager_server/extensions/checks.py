"""Check the types of what an extension returned: it is third-party code, and nothing has checked them before."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json

from ..core.content import Message, Part, Reasoning, Text, ToolCall
from .dict_form import InvalidResult
from .views import ExtensionRequest, ExtensionResponse

Checked = TypeVar("Checked", ExtensionRequest, ExtensionResponse)

# Only strings with a limit are checked to be valid Unicode.
STRICT = ConfigDict(
    strict=True, revalidate_instances="always", arbitrary_types_allowed=True, str_max_length=sys.maxsize
)
REQUEST = TypeAdapter(tuple[ExtensionRequest], config=STRICT)
RESPONSE = TypeAdapter(tuple[ExtensionResponse], config=STRICT)


def checked_request(result: object, sent: ExtensionRequest) -> ExtensionRequest:
    """Return the request with types that are known to be right. Raises InvalidResult.

    The provider's state of a part that was changed is removed, since it signs what the part was.
    """
    request = _checked(REQUEST, result)
    if request.provider_options != sent.provider_options:
        _check_json(request.provider_options)
    if len(request.history) != len(sent.history):
        raise InvalidResult("history", f"must keep its {len(sent.history)} messages, got {len(request.history)}")
    states = {part.provider_state: part for message in (*sent.history, *sent.messages) for part in message.parts}
    return replace(
        request,
        messages=tuple(_without_stale_state(message, states) for message in request.messages),
        history=tuple(_without_stale_state(message, states) for message in request.history),
    )


def checked_response(result: object, sent: ExtensionResponse) -> ExtensionResponse:
    """Return the response with types that are known to be right. Raises InvalidResult if not only parts changed."""
    response = _checked(RESPONSE, result)
    for name in ("provider", "model", "finish_reason", "usage", "cost", "structured_json", "artifacts"):
        if getattr(response, name) != getattr(sent, name):
            raise InvalidResult(name, "must not be changed")
    if not response.parts and sent.parts:
        raise InvalidResult("parts", "must have at least 1 item, got 0")
    for index, part in enumerate(response.parts):
        if not isinstance(part, Text | Reasoning | ToolCall) and part not in sent.parts:
            raise InvalidResult(f"parts[{index}]", "must be a text, reasoning or a tool call")
        if isinstance(part, ToolCall) and part not in sent.parts:
            _check_arguments(part, f"parts[{index}].arguments_json")
    states = {part.provider_state: part for part in sent.parts}
    return replace(response, parts=tuple(_part_without_stale_state(part, states) for part in response.parts))


def check_size(parts: Sequence[Part], max_bytes: int) -> None:
    """Raise InvalidResult if the texts and tool calls of a changed response have more bytes than can be sent."""
    texts = (
        part.text if isinstance(part, Text | Reasoning) else part.arguments_json
        for part in parts
        if isinstance(part, Text | Reasoning | ToolCall)
    )
    size = sum(len(text.encode()) for text in texts)
    if size > max_bytes:
        raise InvalidResult("parts", f"must have at most {max_bytes} bytes, got {size}")


def _check_json(provider_options: Mapping[str, object]) -> None:
    try:
        json.dumps(provider_options, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidResult("provider_options", "must be JSON values with text that is valid Unicode") from None


def _check_arguments(call: ToolCall, field: str) -> None:
    try:
        is_object = isinstance(from_json(call.arguments_json, allow_inf_nan=False), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise InvalidResult(field, "must be a JSON object")


def _checked(adapter: TypeAdapter[tuple[Checked]], result: object) -> Checked:
    try:
        return adapter.validate_python((result,))[0]
    except ValidationError as error:
        # Each kind of a union has an error of its own; those of the kind that was given are the longest.
        detail = max(error.errors(include_url=False, include_input=False), key=lambda each: len(each["loc"]))
    description = detail["msg"].replace("Input should be", "must be")
    if detail["type"] == "string_unicode":
        description = "must be valid Unicode, without lone surrogates"
    raise InvalidResult(_path(detail["loc"][1:]) or "the result", description)


def _path(location: tuple[int | str, ...]) -> str:
    """Return the path of a field without the names of types and kinds."""
    parts = [
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in location
        if isinstance(part, int) or (part[:1].islower() and part != "[key]")
    ]
    return "".join(parts).removeprefix(".")


def _without_stale_state(message: Message, states: Mapping[bytes, Part]) -> Message:
    if not any(part.provider_state for part in message.parts):
        return message
    return replace(message, parts=tuple(_part_without_stale_state(part, states) for part in message.parts))


def _part_without_stale_state(part: Part, states: Mapping[bytes, Part]) -> Part:
    if not part.provider_state or states.get(part.provider_state) == part:
        return part
    return replace(part, provider_state=b"")
