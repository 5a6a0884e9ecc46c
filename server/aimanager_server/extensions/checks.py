"""Check the types of what an extension returned: it is third-party code, and nothing has checked them before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..core.content import Message, Part, Reasoning, Text, ToolCall
from .dict_form import InvalidResult
from .views import ExtensionRequest, ExtensionResponse

Checked = TypeVar("Checked", ExtensionRequest, ExtensionResponse)

STRICT = ConfigDict(strict=True, revalidate_instances="always", arbitrary_types_allowed=True)
REQUEST = TypeAdapter(tuple[ExtensionRequest], config=STRICT)
RESPONSE = TypeAdapter(tuple[ExtensionResponse], config=STRICT)


def checked_request(result: object, sent: ExtensionRequest) -> ExtensionRequest:
    """Return the request with types that are known to be right. Raises InvalidResult.

    The provider's state of a part that was changed is removed, since it signs what the part was.
    """
    request = _checked(REQUEST, result)
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
    states = {part.provider_state: part for part in sent.parts}
    return replace(response, parts=tuple(_part_without_stale_state(part, states) for part in response.parts))


def _checked(adapter: TypeAdapter[tuple[Checked]], result: object) -> Checked:
    try:
        return adapter.validate_python((result,))[0]
    except ValidationError as error:
        # Each kind of a union has an error of its own; those of the kind that was given are the longest.
        detail = max(error.errors(include_url=False, include_input=False), key=lambda each: len(each["loc"]))
    description = detail["msg"].replace("Input should be", "must be")
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
