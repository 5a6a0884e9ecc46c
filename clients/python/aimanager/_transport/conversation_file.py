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
from ..messages import Message
from ..v1 import conversation_pb2 as pb

FORMAT = "aimanager.conversation"
VERSION = 1
SETTINGS = ("title", "model", "system_instruction", "labels")
OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class SavedTurn:
    """The messages of a saved turn."""

    messages: Sequence[Message]
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class SavedConversation:
    """The settings and the turns of a saved conversation."""

    settings: pb.Conversation
    turns: Sequence[SavedTurn]


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
        "turns": [
            {"messages": [message_to_dict(message) for message in turn.messages], "pinned": turn.pinned}
            for turn in turns
        ],
    }


def read_conversation(path: str | PathLike[str]) -> SavedConversation:
    """Read a file that `write_conversation` wrote. Raises OSError, and InvalidRequestError for any other content."""
    name = repr(os.fspath(path))
    try:
        document = json.loads(Path(path).read_bytes())
    except (RecursionError, ValueError) as error:
        raise _invalid(name, f"it is no JSON: {error}") from error
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise _invalid(name, f"it has no format {FORMAT!r}")
    if document.get("version") != VERSION:
        raise InvalidRequestError(
            f"{name} has version {document.get('version')!r:.100} of the format; this client reads version {VERSION}.",
            "Use the version of aimanager that saved it, or a newer one.",
        )
    try:
        return _parse(document)
    except InvalidRequestError as error:
        raise _invalid(name, str(error)) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise _invalid(name, f"it is damaged: {type(error).__name__}: {error}") from error


def _parse(document: Mapping[str, Any]) -> SavedConversation:
    settings = {name: value for name, value in document["conversation"].items() if name in SETTINGS}
    turns = [
        SavedTurn([message_from_dict(message) for message in turn["messages"]], turn["pinned"] is True)
        for turn in document["turns"]
    ]
    return SavedConversation(from_plain(settings, pb.Conversation()), turns)


def _invalid(name: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{name} is not a saved conversation: {problem:.300}", "Pass a file that Conversation.save wrote."
    )
