"""Save conversations as JSON files, and read them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from .._convert.json_form import from_plain, to_plain
from .._convert.message_dict import message_from_dict, message_to_dict
from ..errors import InvalidRequestError
from ..v1 import conversation_pb2 as pb
from ..v1.content_pb2 import Role

FORMAT = "aimanager.conversation"
VERSION = 1
SETTINGS = ("title", "model", "system_instruction", "labels")
CHAT_KEYS = {"model", "system", "messages"}
OWNER_ONLY = 0o600
JSON_TYPES: Mapping[type[Any], str] = {
    Mapping: "an object", list: "a list", bool: "true or false", str: "a text", int: "a number", float: "a number"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """The settings and the turns of a saved conversation."""

    settings: pb.Conversation
    turns: Sequence[pb.NewTurn]


def write_conversation(path: str | PathLike[str], conversation: pb.Conversation, turns: Iterable[pb.Turn]) -> None:
    """Write a file that only the user can read. It replaces an existing one when it is complete. Raises OSError."""
    target = Path(path)
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(_document(conversation, turns), file, ensure_ascii=False, indent=1)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _document(conversation: pb.Conversation, turns: Iterable[pb.Turn]) -> dict[str, Any]:
    plain = to_plain(conversation)
    return {
        "format": FORMAT,
        "version": VERSION,
        "conversation": {name: plain[name] for name in SETTINGS if name in plain},
        "turns": list(map(_turn, turns)),
    }


def _turn(turn: pb.Turn) -> dict[str, Any]:
    messages = [message_to_dict(message) for message in turn.messages]
    marks = {"interrupted": True} if turn.interrupted else {}
    return {"messages": messages, "pinned": turn.pinned, **marks}


def read_conversation(path: str | PathLike[str]) -> SavedConversation:
    """Read a file that `write_conversation` wrote. Raises OSError, and InvalidRequestError for any other content."""
    name = repr(os.fspath(path))
    try:
        document = json.loads(Path(path).read_bytes())
    except (RecursionError, ValueError) as error:
        raise _invalid(name, f"it is no JSON: {error}") from error
    is_chat = isinstance(document, Mapping) and not CHAT_KEYS - document.keys()
    if not isinstance(document, Mapping) or document.get("format", FORMAT if is_chat else "") != FORMAT:
        raise _invalid(name, f"it has no format {FORMAT!r}")
    if document.get("version") != VERSION:
        raise InvalidRequestError(
            f"{name} has version {document.get('version')!r:.100} of the format; this client reads version {VERSION}.",
            "Use the version of aimanager that saved it, or a newer one.",
        )
    try:
        return _parse_chat(document) if is_chat else _parse(document)
    except InvalidRequestError as error:
        raise _invalid(name, str(error)) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise _invalid(name, "it is damaged") from error


def _parse(document: Mapping[str, Any]) -> SavedConversation:
    fields = _required(document, "conversation", Mapping, "the file")
    settings = from_plain({name: value for name, value in fields.items() if name in SETTINGS}, pb.Conversation())
    if not settings.model.isprintable():
        raise InvalidRequestError(f"conversation['model'] must name a model, got {settings.model!r:.100}", "")
    given = _required(document, "turns", list, "the file")
    return SavedConversation(settings, [_parse_turn(turn, f"turns[{number}]") for number, turn in enumerate(given)])


def _parse_turn(turn: Any, name: str) -> pb.NewTurn:
    messages = _required(turn, "messages", list, name)
    return pb.NewTurn(
        messages=[
            message_from_dict(_object(message, f"{name}.messages[{number}]")) for number, message in enumerate(messages)
        ],
        pinned=_required(turn, "pinned", bool, name),
        interrupted="interrupted" in turn and _required(turn, "interrupted", bool, name),
    )


def _required(fields: Any, key: str, kind: type[Any], name: str) -> Any:
    """Return a value of this type. Raises InvalidRequestError."""
    if key not in _object(fields, name):
        raise InvalidRequestError(f"{name} has no {key!r}", "")
    if not isinstance(fields[key], kind):
        raise InvalidRequestError(f"{key!r} of {name} must be {JSON_TYPES[kind]}, got {_kind(fields[key])}", "")
    return fields[key]


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"{name} must be an object, got {_kind(value)}", "")
    return value


def _kind(value: Any) -> str:
    return next((name for kind, name in JSON_TYPES.items() if isinstance(value, kind)), "null")


def _parse_chat(document: Mapping[str, Any]) -> SavedConversation:
    """Read a file of `aimanager chat` from before servers kept conversations. Each question begins a turn."""
    settings = {"model": document["model"] or "", "system_instruction": document["system"] or ""}
    turns: list[pb.NewTurn] = []
    for number, each in enumerate(_required(document, "messages", list, "the file")):
        message = message_from_dict(_object(each, f"messages[{number}]"))
        if message.role == Role.ROLE_USER or not turns:
            turns.append(pb.NewTurn())
        turns[-1].messages.append(message)
    return SavedConversation(from_plain(settings, pb.Conversation()), turns)


def _invalid(name: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{name} is not a saved conversation: {problem.rstrip('.'):.300}.", "Pass a file that Conversation.save wrote."
    )
