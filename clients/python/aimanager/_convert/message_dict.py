"""Messages as `{"role": …, "content": …}` dicts, as people and other libraries write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidRequestError
from ..v1.content_pb2 import Attachment, Message, Part
from .checks import require_utf8
from .json_form import from_plain, to_plain

ROLES = ("user", "assistant")
KEYS = ("role", "content", "id", "provider", "model", "create_time")
EXAMPLE = 'Write {"role": "user", "content": "…"}.'


def message_to_dict(message: Message) -> dict[str, Any]:
    """Return a message as a dict that JSON can carry; `content` is the text, or a list of parts.

    A prompt accepts the dict, and `message_from_dict` restores the message with its provider state.

    >>> from aimanager import message_to_dict, user
    >>> message_to_dict(user("Hi"))
    {'role': 'user', 'content': 'Hi'}
    """
    fields = to_plain(message)
    parts = fields.pop("parts", [])
    content = parts[0]["text"] if len(parts) == 1 and list(parts[0]) == ["text"] else parts
    return {"role": fields.pop("role", ""), "content": content, **fields}


def message_from_dict(fields: Mapping[str, Any]) -> Message:
    """Return the message of a `{"role": …, "content": …}` dict. The content is a text or a list of texts and parts.

    Raises InvalidRequestError for another role, key or type.

    >>> from aimanager import message_from_dict
    >>> message_from_dict({"role": "assistant", "content": "Hello."}).parts[0].text
    'Hello.'
    """
    return read_message_dict(fields, "message")


def read_message_dict(fields: Mapping[str, Any], name: str) -> Message:
    """As message_from_dict, with the caller's name of the message for errors."""
    role, content = fields.get("role"), fields.get("content")
    if role not in ROLES:
        raise InvalidRequestError(
            f"{name}['role'] must be 'user' or 'assistant', got {role!r:.100}", _role_solution(role)
        )
    if unknown := [key for key in fields if key not in KEYS]:
        raise InvalidRequestError(f"{name} has an unknown key {unknown[0]!r:.100}", f"Use {', '.join(KEYS)}. {EXAMPLE}")
    others = {key: value for key, value in fields.items() if key != "content"}
    message = from_plain(others, Message())
    items = [content] if isinstance(content, str) else content
    if not isinstance(items, Sequence):
        raise InvalidRequestError(
            f"{name}['content'] must be a str or a list of parts, got {type(content).__name__}", EXAMPLE
        )
    message.parts.extend(_part(item, f"{name}['content'][{index}]") for index, item in enumerate(items))
    return message


def _role_solution(role: object) -> str:
    if role in ("system", "developer"):
        return "Put it first, or pass it as system=…."
    return "Pass results of tools with tool_result(call, output)." if role == "tool" else EXAMPLE


def _part(item: object, name: str) -> Part:
    match item:
        case str():
            return Part(text=require_utf8(name, item))
        case Part():
            return item
        case Attachment():
            return Part(attachment=item)
        case {"type": "text", "text": str(text)}:
            return Part(text=require_utf8(name, text))
        case Mapping() if "type" not in item:
            return from_plain(item, Part())
    raise InvalidRequestError(
        f"{name} must be a str, an attachment or a part, got {item!r:.100}",
        'Write {"text": "…"}, or use image(…), pdf(…) or attachment(…).',
    )
