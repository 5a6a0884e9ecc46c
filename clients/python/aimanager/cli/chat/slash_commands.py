"""What may be typed in a chat besides messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import InvalidRequestError
from ...messages import attachment
from ...v1.content_pb2 import Attachment
from .conversation import Conversation, save_conversation, write_private

HELP = """\
/model [NAME]   use another model from now on; without a name, show the current one
/attach PATH    attach a file to the next message
/save FILE      save the conversation: as JSON if the name ends with .json, else as Markdown
/help           show this
/quit           leave; also Ctrl-D
A line that ends with \\ continues on the next one. `aimanager chat -c` continues the last chat."""


@dataclass
class ChatState:
    """The conversation and the files for its next message."""

    conversation: Conversation
    attachments: list[Attachment] = field(default_factory=list)


def is_command(text: str) -> bool:
    """Return whether the text is a command, not a message. A path such as /etc/hosts is a message.

    >>> is_command("/help"), is_command("/etc/hosts"), is_command("Hi")
    (True, False, False)
    """
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return first.startswith("/") and "/" not in first[1:] and len(first) > 1


def run_command(text: str, state: ChatState) -> str | None:
    """Run a command and return what to show; None for /quit. Raises AIError."""
    name, _, argument = text.strip().partition(" ")
    if name in ("/quit", "/exit"):
        return None
    command = COMMANDS.get(name)
    if command is None:
        raise InvalidRequestError(f"{name} is not a command.", "/help lists the commands.")
    return command(argument.strip(), state)


def _model(name: str, state: ChatState) -> str:
    state.conversation.model = name or state.conversation.model
    return f"model: {state.conversation.model or 'the default of the gateway'}"


def _attach(path: str, state: ChatState) -> str:
    file = attachment(_required(path, "/attach photo.png"))
    state.attachments.append(file)
    return f"attached: {file.filename or file.uri} ({file.mime_type}), sent with the next message"


def _save(name: str, state: ChatState) -> str:
    path = Path(_required(name, "/save chat.md")).expanduser()
    if path.exists():
        raise InvalidRequestError(f"{str(path)!r} exists already.", "Save under another name.")
    if path.suffix == ".json":
        save_conversation(path, state.conversation)
    else:
        write_private(path, state.conversation.to_markdown() + "\n")
    return f"saved: {path}"


def _required(argument: str, example: str) -> str:
    if not argument:
        raise InvalidRequestError(f"{example.partition(' ')[0]} needs a path.", f"For example: {example}")
    return argument


COMMANDS: dict[str, Callable[[str, ChatState], str]] = {
    "/model": _model,
    "/attach": _attach,
    "/save": _save,
    "/help": lambda _, __: HELP,
}
