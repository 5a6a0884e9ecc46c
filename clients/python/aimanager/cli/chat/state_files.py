"""What `aimanager chat` keeps on this machine: which conversation was the last one, and what was typed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigurationError

STATE_ENV = "XDG_STATE_HOME"
HISTORY = "history"
LAST_CONVERSATION = "last-conversation.json"
LAST_FILE = "chat.json"
"""The last chat with a server that keeps no conversations, or with an earlier version of this command."""


@dataclass(frozen=True, slots=True)
class LastConversation:
    """The id of a conversation, and the address of the server that keeps it."""

    id: str
    target: str


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the command's state, by the XDG base directory specification."""
    base = environment.get(STATE_ENV, "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local/state") / "aimanager"


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner may read, if it does not exist. Raises ConfigurationError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"Cannot create {str(path)!r}: {error.strerror}.", f"Set {STATE_ENV}.") from error
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all. Raises ConfigurationError."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.unlink(missing_ok=True)
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise ConfigurationError(f"Cannot write {str(path)!r}: {error.strerror}.", "Check its folder.") from error


def write_last_conversation(folder: Path, last: LastConversation) -> None:
    """Keep which conversation was the last one. Raises ConfigurationError."""
    write_private(folder / LAST_CONVERSATION, json.dumps({"id": last.id, "target": last.target}) + "\n")


def forget_last_conversation(folder: Path) -> None:
    """Note that the last chat is in LAST_FILE."""
    with suppress(OSError):
        (folder / LAST_CONVERSATION).unlink()


def read_last_conversation(folder: Path) -> LastConversation | None:
    """Return the last conversation, None if it is not known."""
    try:
        fields = json.loads((folder / LAST_CONVERSATION).read_bytes())
        return LastConversation(str(fields["id"]), str(fields["target"]))
    except (OSError, RecursionError, ValueError, KeyError, TypeError):
        return None
