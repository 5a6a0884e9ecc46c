"""Convert a prompt and its attachments to messages, and name their fields as the caller does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import InvalidRequestError
from ..messages import Attachment, Message, Part, user
from ..types.response import AIResponse
from ..v1.content_pb2 import Role
from .checks import require_utf8
from .field_names import parameter_name

Turn: TypeAlias = str | Message | Part | Attachment | AIResponse
Prompt: TypeAlias = Turn | Sequence[Turn]
"""A user message, or messages in order, the newest last.

A str, Part or Attachment is a user message; an AIResponse stands for its own message.
"""

MESSAGE_PATH = re.compile(
    r"(?:request\.)?messages\[(?P<message>\d{1,9})\](?:\.parts\[(?P<part>\d{1,9})\])?(?P<rest>.*)"
)


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """The messages of a prompt, and what is needed to name their fields.

    `turns` are the turns that became messages, each with the caller's name for it: `prompt` or `prompt[2]`. `files` are
    the attachments that joined the last message.
    """

    messages: list[Message]
    turns: tuple[tuple[str, Turn], ...]
    files: tuple[Attachment, ...] = ()

    def field_name(self, path: str) -> str:
        """Return the caller's name for an API field path: `prompt`, `prompt[2].parts[0].text`, `attachments[1]`.

        Paths outside of `messages` have their parameter's name.
        """
        match = MESSAGE_PATH.fullmatch(path)
        if match is None:
            return parameter_name(path)
        index, rest = int(match["message"]), match["rest"]
        if match["part"] is None:
            return self._turn_name(index, rest)
        return self._part_name(index, int(match["part"]), rest)

    def _turn_name(self, index: int, rest: str) -> str:
        if index >= len(self.turns):
            return "attachments" if self.files else parameter_name(f"messages[{index}]{rest}")
        name, turn = self.turns[index]
        return name + rest if isinstance(turn, Message | AIResponse) else name

    def _part_name(self, index: int, part: int, rest: str) -> str:
        if not self.files or index < len(self.messages) - 1:
            return self._turn_name(index, f".parts[{part}]{rest}")
        own = self._own_parts(index)
        results = [number for number, each in enumerate(own) if each.HasField("tool_result")]
        others = [number for number in range(len(own)) if number not in results]
        file = part - len(results)
        if 0 <= file < len(self.files):
            return f"attachments[{file}]{rest.removeprefix('.attachment')}"
        origins = dict(enumerate(results)) | dict(enumerate(others, len(results) + len(self.files)))
        return self._turn_name(index, f".parts[{origins.get(part, part)}]{rest}")

    def _own_parts(self, index: int) -> list[Part]:
        """Return the parts of a message before the files joined it; none for a message of files only."""
        if index >= len(self.turns):
            return []
        name, turn = self.turns[index]
        return list(_message(turn, name).parts)


def read_prompt(prompt: Prompt, files: Sequence[Attachment] = ()) -> PromptMessages:
    """Convert a prompt to messages; empty strings are dropped.

    Raises InvalidRequestError for an empty prompt, TypeError for an unsupported type.

    >>> read_prompt(["Hi", user("How are you?")]).field_name("messages[1].parts[0].text")
    'prompt[1].parts[0].text'
    """
    if isinstance(prompt, str | Message | Part | Attachment | AIResponse):
        named: list[tuple[str, Turn]] = [("prompt", prompt)]
    else:
        named = [(f"prompt[{index}]", turn) for index, turn in enumerate(prompt)]
    turns = tuple((name, turn) for name, turn in named if turn != "")
    messages = _with_files([_message(turn, name) for name, turn in turns], files)
    if not messages:
        raise InvalidRequestError("prompt must not be empty", solution="Pass a text, a Message or an attachment.")
    return PromptMessages(messages, turns, tuple(files))


def _with_files(messages: list[Message], files: Sequence[Attachment]) -> list[Message]:
    """Add files to the last user message: before its text, as models read them best, but after tool results."""
    if not files:
        return messages
    if not messages or messages[-1].role != Role.ROLE_USER:
        return [*messages, user(*files)]
    results, others = _split(messages[-1])
    return [*messages[:-1], user(*results, *files, *others)]


def _message(turn: Turn, name: str) -> Message:
    match turn:
        case Message():
            return turn
        case AIResponse():
            return turn.message
        case str():
            return user(require_utf8(name, turn))
        case Part() | Attachment():
            return user(turn)
    raise TypeError(f"{name} must be a str, Message, Part, Attachment or AIResponse, got {type(turn).__name__}")


def _split(message: Message) -> tuple[list[Part], list[Part]]:
    results = [part for part in message.parts if part.HasField("tool_result")]
    return results, [part for part in message.parts if not part.HasField("tool_result")]
