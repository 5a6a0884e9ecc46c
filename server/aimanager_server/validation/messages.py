"""Finds what is wrong with the turns of a conversation: what each part may be, and that every tool call is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from ..core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ..core.errors import FieldViolation

if TYPE_CHECKING:
    from ..config.settings import Limits

IMAGES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/gif", "image/webp"})

DOCUMENTS = frozenset({"application/pdf"})

TEXTS = re.compile(r"text/[a-z0-9!#$&^_.+-]+(;.*)?|application/(json|xml)")
"""What is read as text by the gateway, and so by every model."""

LONGEST_URI = 8192

LONGEST_SHOWN = 64


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A field whose bytes are too many."""

    field: str
    limit: int
    actual: int

    def violation(self) -> FieldViolation:
        """The same in words."""
        return FieldViolation(self.field, f"has {self.actual} bytes, at most {self.limit} are taken")


Found = tuple[str, str | TooLarge]
"""Where inside a part, and what."""


def shown(text: str) -> str:
    """A caller's name for something, quoted and short enough for a message.

    >>> shown("a" * 65).count("a")
    64
    """
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")


def is_text(attachment: Attachment) -> bool:
    """Whether every model can read it, as part of the prompt.

    >>> is_text(Attachment("text/plain; charset=utf-8")), is_text(Attachment("application/pdf"))
    (True, False)
    """
    return TEXTS.fullmatch(attachment.mime_type) is not None


def turn_flaws(messages: tuple[Message, ...], limits: Limits) -> Iterator[FieldViolation | TooLarge]:
    """What is wrong with each turn by itself."""
    if not messages:
        yield FieldViolation("messages", "is empty: at least one turn is needed")
        return
    if len(messages) > limits.messages:
        yield FieldViolation("messages", f"there are {len(messages)}, at most {limits.messages} are taken")
        return
    if messages[0].role is not Role.USER:
        yield FieldViolation("messages[0].role", "the first turn must be the user's")
    for index, message in enumerate(messages):
        yield from _message_flaws(message, f"messages[{index}].parts", limits)


def _message_flaws(message: Message, field: str, limits: Limits) -> Iterator[FieldViolation | TooLarge]:
    parts = message.parts
    if len(parts) > limits.parts_per_message:
        yield FieldViolation(field, f"there are {len(parts)}, at most {limits.parts_per_message} are taken")
        return
    if not parts:
        yield FieldViolation(field, "is empty: a turn has at least one part. Leave out a turn that says nothing")
    elif message.role is Role.USER and all(isinstance(part, Text) and not part.text for part in parts):
        yield FieldViolation(field, "says nothing: every text is empty")
    for index, part in enumerate(parts):
        for inside, what in _part_flaws(part, message.role, limits.attachment_bytes):
            path = f"{field}[{index}]{inside}"
            if isinstance(what, TooLarge):
                yield TooLarge(path, what.limit, what.actual)
            else:
                yield FieldViolation(path, what)


def _part_flaws(part: Part, role: Role, most_bytes: int) -> Iterator[Found]:
    match part:
        case Text():
            return
        case Reasoning():
            if role is Role.USER:
                yield ".reasoning", "belongs in an assistant turn"
        case Attachment():
            if role is Role.ASSISTANT:
                yield ".attachment", "belongs in a user turn"
            yield from _attachment_flaws(part, ".attachment", most_bytes)
        case ToolCall():
            yield from _call_flaws(part, role)
        case ToolResult():
            if role is Role.ASSISTANT:
                yield ".tool_result", "belongs in a user turn"
            for index, attachment in enumerate(part.attachments):
                yield from _attachment_flaws(attachment, f".tool_result.attachments[{index}]", most_bytes)
        case _:
            assert_never(part)


def _call_flaws(call: ToolCall, role: Role) -> Iterator[Found]:
    if role is Role.USER:
        yield ".tool_call", "belongs in an assistant turn"
    if not call.id:
        yield ".tool_call.id", "is empty"
    if not call.name:
        yield ".tool_call.name", "is empty"


def _attachment_flaws(attachment: Attachment, field: str, most_bytes: int) -> Iterator[Found]:
    if not (attachment.mime_type in IMAGES or attachment.mime_type in DOCUMENTS or is_text(attachment)):
        accepted = "image/jpeg, image/png, image/gif, image/webp, application/pdf and text/*, in lower case"
        yield f"{field}.mime_type", f"{shown(attachment.mime_type)} is not taken; taken are {accepted}"
    if (attachment.data is None) == (attachment.uri is None):
        yield field, "has to hold exactly one of data and uri"
    elif attachment.uri is not None:
        yield from _uri_flaws(attachment, attachment.uri, f"{field}.uri")
    elif not attachment.data:
        yield f"{field}.data", "is empty"
    elif len(attachment.data) > most_bytes:
        yield f"{field}.data", TooLarge(field, most_bytes, len(attachment.data))


def _uri_flaws(attachment: Attachment, uri: str, field: str) -> Iterator[Found]:
    """The address itself is not repeated: it may hold a signature."""
    if is_text(attachment):
        yield field, "no provider fetches text: send it as data"
    if len(uri) > LONGEST_URI:
        yield field, f"has {len(uri)} characters, at most {LONGEST_URI} fit"
        return
    try:
        parts = urlsplit(uri)
        is_address = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_address = False
    if not is_address or not uri.isascii() or not uri.isprintable() or " " in uri:
        yield field, "is no https address without a user name"


def dialogue_flaws(messages: tuple[Message, ...]) -> Iterator[FieldViolation]:
    """Tool calls without a result before the next assistant turn, results without a call, ids used twice."""
    pending: dict[str, str] = {}
    seen: set[str] = set()
    for index, message in enumerate(messages):
        if message.role is Role.ASSISTANT:
            yield from _unanswered(pending)
            pending.clear()
        for position, part in enumerate(message.parts):
            field = f"messages[{index}].parts[{position}]"
            if isinstance(part, ToolCall) and part.id:
                yield from _asked(part.id, f"{field}.tool_call.id", seen, pending)
            elif isinstance(part, ToolResult) and pending.pop(part.tool_call_id, None) is None:
                yield _orphan(part.tool_call_id, f"{field}.tool_result.tool_call_id", seen)
    yield from _unanswered(pending)


def _asked(call_id: str, field: str, seen: set[str], pending: dict[str, str]) -> Iterator[FieldViolation]:
    if call_id in seen:
        yield FieldViolation(field, f"{shown(call_id)} is the id of an earlier call too")
        return
    seen.add(call_id)
    pending[call_id] = field


def _orphan(call_id: str, field: str, seen: set[str]) -> FieldViolation:
    if call_id in seen:
        return FieldViolation(field, f"{shown(call_id)} was answered before, or too late")
    return FieldViolation(field, f"{shown(call_id)} is the id of no call before it")


def _unanswered(pending: dict[str, str]) -> Iterator[FieldViolation]:
    for call_id, field in pending.items():
        yield FieldViolation(field, f"{shown(call_id)} has no result before the next assistant turn or the end")
