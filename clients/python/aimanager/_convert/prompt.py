"""Convert a prompt and its attachments to messages, and name their fields as the caller does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import InvalidRequestError
from ..messages import Attachment, Message, Part, user
from ..types.response import AIResponse
from ..v1.content_pb2 import Role
from .checks import require_utf8
from .field_names import parameter_name
from .message_dict import ROLES, read_message_dict

Turn: TypeAlias = str | Message | Part | Attachment | AIResponse | Mapping[str, Any] | tuple[str, str]
"""One message: a text, a message, a `{"role": …, "content": …}` dict, or a (role, text) tuple.

A str, Part or Attachment is a user message; an AIResponse stands for its own message.
"""
Prompt: TypeAlias = Turn | Sequence[Turn]
"""One message, or messages in order, the newest last. The first may have the role system."""

SYSTEM_ROLES = ("system", "developer")
ACCEPTED_TURNS = (
    'Pass a text, {"role": "user", "content": "…"}, ("user", "…"), a Message, an attachment, an AIResponse, '
    "or a list of these."
)

MESSAGE_PATH = re.compile(
    r"(?:request\.)?messages\[(?P<message>\d{1,9})\](?:\.parts\[(?P<part>\d{1,9})\])?(?P<rest>.*)"
)


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """A message, with the caller's name for it: `prompt` or `prompt[2]`.

    `has_fields` says whether the caller wrote a message, whose fields have names too.
    """

    name: str
    message: Message
    has_fields: bool


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """The messages of a prompt, and what is needed to name their fields.

    `turns` are the turns that became messages, `files` the attachments that joined the last one. `system` is the text
    of the system messages.
    """

    messages: list[Message]
    turns: tuple[NamedMessage, ...]
    files: tuple[Attachment, ...] = ()
    system: str = ""

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
        turn = self.turns[index]
        return turn.name + rest if turn.has_fields else turn.name

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
        return list(self.turns[index].message.parts)


def read_prompt(prompt: Prompt, files: Sequence[Attachment] = ()) -> PromptMessages:
    """Convert a prompt to messages; empty strings are dropped.

    Raises InvalidRequestError for an empty prompt, an unsupported type, or a system message after another message.

    >>> read_prompt(["Hi", user("How are you?")]).field_name("messages[1].parts[0].text")
    'prompt[1].parts[0].text'
    >>> read_prompt([{"role": "system", "content": "Be brief."}, ("user", "Hi")]).system
    'Be brief.'
    """
    turns: list[NamedMessage] = []
    system: list[str] = []
    for name, turn in _named_turns(prompt):
        if isinstance(turn, Mapping) and turn.get("role") in SYSTEM_ROLES:
            if turns:
                raise InvalidRequestError(f"{name} is a system message after another message", "Put it first.")
            system.append(_system_text(turn, name))
        elif turn != "":
            turns.append(_named_message(turn, name))
    messages = _with_files([turn.message for turn in turns], files)
    if not messages:
        raise InvalidRequestError("prompt must not be empty", "Pass a text, a Message or an attachment.")
    return PromptMessages(messages, tuple(turns), tuple(files), "\n\n".join(system))


def _named_turns(prompt: Any) -> Iterable[tuple[str, Any]]:
    """Return each turn with the caller's name for it; (role, text) tuples as dicts."""
    if isinstance(prompt, str | Message | Part | Attachment | AIResponse | Mapping) or _is_pair(prompt):
        return [("prompt", _pair_as_dict(prompt))]
    if isinstance(prompt, Iterable) and not isinstance(prompt, bytes | bytearray | set | frozenset):
        return [(f"prompt[{index}]", _pair_as_dict(turn)) for index, turn in enumerate(prompt)]
    raise _unsupported("prompt", prompt)


def _is_pair(turn: Any) -> bool:
    return isinstance(turn, tuple) and len(turn) == 2 and isinstance(turn[0], str) and turn[0] in ROLES + SYSTEM_ROLES


def _pair_as_dict(turn: Any) -> Any:
    return {"role": turn[0], "content": turn[1]} if _is_pair(turn) else turn


def _system_text(turn: Mapping[str, Any], name: str) -> str:
    as_message = read_message_dict({**turn, "role": "user"}, name)
    return "".join(part.text for part in as_message.parts)


def _named_message(turn: Any, name: str) -> NamedMessage:
    match turn:
        case str():
            return NamedMessage(name, user(require_utf8(name, turn)), has_fields=False)
        case Message():
            return NamedMessage(name, turn, has_fields=True)
        case AIResponse():
            return NamedMessage(name, turn.message, has_fields=True)
        case Part() | Attachment():
            return NamedMessage(name, user(turn), has_fields=False)
        case Mapping():
            return NamedMessage(name, read_message_dict(turn, name), has_fields=False)
    raise _unsupported(name, turn)


def _unsupported(name: str, value: object) -> InvalidRequestError:
    return InvalidRequestError(f"{name} must be a text or a message, got {type(value).__name__}", ACCEPTED_TURNS)


def _with_files(messages: list[Message], files: Sequence[Attachment]) -> list[Message]:
    """Add files to the last user message: before its text, as models read them best, but after tool results."""
    if not files:
        return messages
    if not messages or messages[-1].role != Role.ROLE_USER:
        return [*messages, user(*files)]
    results, others = _split(messages[-1])
    return [*messages[:-1], user(*results, *files, *others)]


def _split(message: Message) -> tuple[list[Part], list[Part]]:
    results = [part for part in message.parts if part.HasField("tool_result")]
    return results, [part for part in message.parts if not part.HasField("tool_result")]
