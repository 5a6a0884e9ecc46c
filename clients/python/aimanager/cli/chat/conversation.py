"""A conversation of `aimanager chat`, and the file that keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._convert.message_dict import message_from_dict, message_to_dict
from ...errors import ConfigurationError, InvalidRequestError
from ...messages import user
from ...types.response import AIResponse
from ...v1.content_pb2 import Attachment, Message, Role

VERSION = 1
"""Version of the file. A file of another version is rejected."""

STATE_ENV = "XDG_STATE_HOME"
START_AGAIN = "Start without -c, or pass a file that /save or an earlier chat wrote."


@dataclass
class Conversation:
    """Messages so far, with the model and the system instruction that the next one is sent with."""

    model: str | None = None
    system: str | None = None
    messages: list[Message] = field(default_factory=list)

    def ask(self, text: str, attachments: Sequence[Attachment]) -> list[Message]:
        """Return the messages of the next request. They are kept only once it is answered."""
        return [*self.messages, user(text, *attachments)]

    def answered(self, sent: Sequence[Message], response: AIResponse) -> None:
        """Keep what was sent and the answer."""
        self.messages = [*sent, response.message]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file."""
        messages = [message_to_dict(message) for message in self.messages]
        return {"version": VERSION, "model": self.model, "system": self.system, "messages": messages}

    @classmethod
    def from_dict(cls, content: object) -> Conversation:
        """Read the content of a file. Raises InvalidRequestError."""
        if not isinstance(content, Mapping) or content.get("version") != VERSION:
            raise InvalidRequestError(f"It is not a conversation in version {VERSION} of the format.", START_AGAIN)
        model, system, messages = (content.get(name) for name in ("model", "system", "messages"))
        if not (isinstance(messages, list) and all(isinstance(message, Mapping) for message in messages)):
            raise InvalidRequestError("The conversation has no messages.", START_AGAIN)
        if not all(isinstance(text, str | None) for text in (model, system)):
            raise InvalidRequestError("The model or the system instruction is not a text.", START_AGAIN)
        return cls(model, system, [message_from_dict(message) for message in messages])

    def to_markdown(self) -> str:
        """Return the texts of the conversation as Markdown."""
        return "\n\n".join(
            f"## {'You' if message.role == Role.ROLE_USER else message.model or 'Model'}\n\n{_text(message)}"
            for message in self.messages
        )


def _text(message: Message) -> str:
    files = [f"[{part.attachment.filename or 'file'}]" for part in message.parts if part.HasField("attachment")]
    return "\n\n".join(filter(None, ["".join(part.text for part in message.parts).strip(), *files]))


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


def load_conversation(path: Path) -> Conversation:
    """Read a conversation. Raises ConfigurationError if there is none, InvalidRequestError if it cannot be used."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(f"{str(path)!r} does not exist: no conversation to continue.", START_AGAIN) from None
    except OSError as error:
        raise ConfigurationError(f"Cannot read {str(path)!r}: {error.strerror}.", "Check the path.") from error
    except (RecursionError, ValueError) as error:
        raise InvalidRequestError(f"{str(path)!r} is not valid JSON.", START_AGAIN) from error
    try:
        return Conversation.from_dict(content)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"Cannot continue {str(path)!r}: {error}", error.solution) from error


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


def save_conversation(path: Path, conversation: Conversation) -> None:
    """Write the conversation. Raises ConfigurationError if its folder cannot be written to."""
    write_private(path, json.dumps(conversation.to_dict(), ensure_ascii=False, indent=1) + "\n")
