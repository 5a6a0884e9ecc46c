"""Validate the messages of a request: roles, parts, attachments, and that every tool call has a result."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import assert_never
from urllib.parse import urlsplit

from ..config.settings import Limits
from ..core.content import Attachment, Message, Reasoning, Role, Text, ToolCall, ToolResult
from ..core.errors import FieldViolation
from .json_depth import count_values
from .violations import OversizedField, Violation, quoted

IMAGE_MIME_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/gif", "image/webp"})

DOCUMENT_MIME_TYPES = frozenset({"application/pdf"})

ACCEPTED_MIME_TYPES = "image/jpeg, image/png, image/gif, image/webp, application/pdf or text/* in lower case"

MAX_URI_LENGTH = 8192

MAX_MESSAGE_JSON_VALUES = 300_000
"""Brackets and commas in the tool call arguments and provider states of a request, which some wires parse."""

ASSISTANT_ONLY = "is only allowed in assistant messages"
USER_ONLY = "is only allowed in user messages"


MESSAGE_PATH = re.compile(r"messages\[(\d+)\]")


def message_violations(
    messages: Sequence[Message], limits: Limits, *, has_history: bool = False
) -> Iterator[Violation]:
    """Yield the violations of each message by itself. With history, the first message need not be the user's."""
    if not messages:
        yield FieldViolation("messages", "must have at least one message")
        return
    if len(messages) > limits.max_messages:
        yield FieldViolation("messages", f"must have at most {limits.max_messages} items, got {len(messages)}")
        return
    if messages[0].role is not Role.USER and not has_history:
        yield FieldViolation("messages[0].role", "must be user: the first message of a conversation is the user's")
    for index, message in enumerate(messages):
        if not _is_one_text(message):
            yield from _parts_violations(message, f"messages[{index}].parts", limits)


def _is_one_text(message: Message) -> bool:
    """Return whether the message is one text with content, which is always valid."""
    if len(message.parts) != 1:
        return False
    part = message.parts[0]
    return isinstance(part, Text) and part.text != ""


def _parts_violations(message: Message, field: str, limits: Limits) -> Iterator[Violation]:
    parts = message.parts
    if len(parts) > limits.max_parts_per_message:
        yield FieldViolation(field, f"must have at most {limits.max_parts_per_message} items, got {len(parts)}")
        return
    if not parts:
        yield FieldViolation(field, "must have at least one part; omit empty messages")
    elif message.role is Role.USER and all(isinstance(part, Text) and not part.text for part in parts):
        yield FieldViolation(field, "must have content, but every text is empty")
    for index, part in enumerate(parts):
        if not isinstance(part, Text):
            yield from _part_violations(part, f"{field}[{index}]", message.role, limits.max_attachment_bytes)


def _part_violations(
    part: Reasoning | Attachment | ToolCall | ToolResult, field: str, role: Role, max_bytes: int
) -> Iterator[Violation]:
    match part:
        case Reasoning():
            if role is Role.USER:
                yield FieldViolation(f"{field}.reasoning", ASSISTANT_ONLY)
        case Attachment():
            if role is Role.ASSISTANT:
                yield FieldViolation(f"{field}.attachment", USER_ONLY)
            yield from _attachment_violations(part, f"{field}.attachment", max_bytes)
        case ToolCall():
            yield from _tool_call_violations(part, f"{field}.tool_call", role)
        case ToolResult():
            if role is Role.ASSISTANT:
                yield FieldViolation(f"{field}.tool_result", USER_ONLY)
            for index, attachment in enumerate(part.attachments):
                yield from _attachment_violations(attachment, f"{field}.tool_result.attachments[{index}]", max_bytes)
        case _:
            assert_never(part)


def _tool_call_violations(call: ToolCall, field: str, role: Role) -> Iterator[FieldViolation]:
    if role is Role.USER:
        yield FieldViolation(field, ASSISTANT_ONLY)
    if not call.id:
        yield FieldViolation(f"{field}.id", "must not be empty")
    if not call.name:
        yield FieldViolation(f"{field}.name", "must not be empty")


def _attachment_violations(attachment: Attachment, field: str, max_bytes: int) -> Iterator[Violation]:
    mime_type = attachment.mime_type
    if not (mime_type in IMAGE_MIME_TYPES or mime_type in DOCUMENT_MIME_TYPES or attachment.is_text):
        yield FieldViolation(f"{field}.mime_type", f"must be {ACCEPTED_MIME_TYPES}, got {quoted(mime_type)}")
    if (attachment.data is None) == (attachment.uri is None):
        yield FieldViolation(field, "must have exactly one of data and uri")
    elif attachment.uri is not None:
        yield from _uri_violations(attachment, attachment.uri, f"{field}.uri")
    elif not attachment.data:
        yield FieldViolation(f"{field}.data", "must not be empty")
    elif len(attachment.data) > max_bytes:
        yield OversizedField(f"{field}.data", max_bytes, len(attachment.data))


def _uri_violations(attachment: Attachment, uri: str, field: str) -> Iterator[FieldViolation]:
    """Yield the violations without the URL, which may contain a signature."""
    if attachment.is_text:
        yield FieldViolation(field, "must not be set for text, which no provider fetches; send the text as data")
    if len(uri) > MAX_URI_LENGTH:
        yield FieldViolation(field, f"must have at most {MAX_URI_LENGTH} characters, got {len(uri)}")
        return
    try:
        parts = urlsplit(uri)
        is_https = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_https = False
    if not is_https or not uri.isascii() or not uri.isprintable() or " " in uri:
        yield FieldViolation(field, "must be an https URL in printable ASCII, without a user name or password")


def tool_result_violations(messages: Sequence[Message]) -> Iterator[FieldViolation]:
    """Yield tool calls without a result before the next assistant message, results without a call, and reused ids."""
    pending: dict[str, str] = {}
    seen: set[str] = set()
    for index, message in enumerate(messages):
        if pending and message.role is Role.ASSISTANT:
            yield from _missing_results(pending)
            pending.clear()
        for position, part in enumerate(message.parts):
            if isinstance(part, ToolCall) and part.id:
                field = f"messages[{index}].parts[{position}].tool_call.id"
                if part.id in seen:
                    description = f"duplicates the id {quoted(part.id)} of an earlier tool call"
                    yield FieldViolation(field, description)
                else:
                    seen.add(part.id)
                    pending[part.id] = field
            elif isinstance(part, ToolResult) and pending.pop(part.tool_call_id, None) is None:
                field = f"messages[{index}].parts[{position}].tool_result.tool_call_id"
                yield _unmatched_result(part.tool_call_id, field, seen)
    yield from _missing_results(pending)


def without_history(violation: FieldViolation, first_message: int) -> FieldViolation:
    """Return the violation with the path of the caller's own request, whose first message is at this index.

    >>> without_history(FieldViolation("messages[7].parts", "is empty"), 5).field
    'messages[2].parts'
    """
    match = MESSAGE_PATH.match(violation.field)
    if match is None:
        return violation
    index = int(match[1]) - first_message
    if index < 0:
        return FieldViolation("messages", f"must continue the conversation, whose last message {violation.description}")
    return FieldViolation(f"messages[{index}]{violation.field[match.end() :]}", violation.description)


def json_length(messages: Sequence[Message]) -> int:
    """Return the length of the JSON within messages. No JSON of a length has more brackets and commas."""
    length = 0
    for message in messages:
        for part in message.parts:
            length += len(part.provider_state)
            if isinstance(part, ToolCall):
                length += len(part.arguments_json)
    return length


def json_values(messages: Sequence[Message]) -> int:
    """Return the number of brackets and commas in the JSON within messages."""
    return sum(count for _, count in _json_value_counts(messages))


def message_json_violations(messages: Sequence[Message]) -> Iterator[FieldViolation]:
    """Yield a violation at the largest part if parsing the JSON within all messages would take too long."""
    if json_length(messages) <= MAX_MESSAGE_JSON_VALUES:
        return
    counts = dict(_json_value_counts(messages))
    total = sum(counts.values())
    if total > MAX_MESSAGE_JSON_VALUES:
        others = "together with the other arguments and provider states"
        description = f"must have at most {MAX_MESSAGE_JSON_VALUES} brackets and commas {others}, got {total}"
        yield FieldViolation(max(counts, key=lambda path: counts[path]), description)


def _json_value_counts(messages: Sequence[Message]) -> Iterator[tuple[str, int]]:
    for index, message in enumerate(messages):
        for position, part in enumerate(message.parts):
            field = f"messages[{index}].parts[{position}]"
            yield f"{field}.provider_state", count_values(part.provider_state)
            if isinstance(part, ToolCall):
                yield f"{field}.tool_call.arguments_json", count_values(part.arguments_json)


def _unmatched_result(call_id: str, field: str, seen: set[str]) -> FieldViolation:
    if call_id in seen:
        reason = "already has a result, or is followed by another assistant message"
        return FieldViolation(field, f"refers to tool call {quoted(call_id)}, which {reason}")
    return FieldViolation(field, f"must be the id of an earlier tool call, got {quoted(call_id)}")


def _missing_results(pending: dict[str, str]) -> Iterator[FieldViolation]:
    for call_id, field in pending.items():
        description = f"{quoted(call_id)} has no tool result before the next assistant message or the end"
        yield FieldViolation(field, description)
