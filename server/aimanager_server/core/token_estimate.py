"""Estimate the tokens of a prompt without a tokenizer."""

from __future__ import annotations

from typing import Any

from .content import Attachment, Message, Part, Reasoning, Text, ToolCall, ToolResult, attachments_of
from .request import Attempt, Call, GenerateParams

CHARACTERS_PER_TOKEN = 4
MIN_CHARACTERS_PER_TOKEN = 2
"""Fewer than text and code have; for an estimate that must not be too small."""
ATTACHMENT_TOKENS = 1_500
"""Of an image; a document has about as many for each page."""
BYTES_PER_PAGE = 100_000


def estimate_tokens(request: Call | Attempt[Any] | GenerateParams) -> int:
    """Return a rough count of the prompt's tokens: four characters per token, without attachments."""
    length = len(request.system_instruction) + sum(len(tool.input_schema_json) for tool in request.tools)
    return (length + sum(map(_length, request.messages))) // CHARACTERS_PER_TOKEN + 1


def estimate_message_tokens(message: Message) -> int:
    """Return a rough count of the tokens of a message, with its attachments."""
    tokens = _length(message) // CHARACTERS_PER_TOKEN + 4
    for _, attachment in attachments_of((message,)):
        tokens += _attachment_tokens(attachment, CHARACTERS_PER_TOKEN)
    return tokens


def part_characters(part: Part) -> int:
    """Return the length of a part; a file counts as text with MIN_CHARACTERS_PER_TOKEN characters for each token."""
    if isinstance(part, Text):
        return len(part.text)
    files = (part,) if isinstance(part, Attachment) else part.attachments if isinstance(part, ToolResult) else ()
    attached = sum(_attachment_tokens(file, MIN_CHARACTERS_PER_TOKEN) for file in files)
    return _part_length(part) + attached * MIN_CHARACTERS_PER_TOKEN


def _attachment_tokens(attachment: Attachment, characters_per_token: int) -> int:
    size = len(attachment.data or b"")
    pages = 1 if attachment.is_image else size // BYTES_PER_PAGE + 1
    return size // characters_per_token if attachment.is_text else pages * ATTACHMENT_TOKENS


def _length(message: Message) -> int:
    return sum(map(_part_length, message.parts))


def _part_length(part: Part) -> int:
    match part:
        case Text() | Reasoning():
            return len(part.text)
        case ToolCall():
            return len(part.arguments_json)
        case ToolResult():
            return len(part.output)
        case Attachment():
            return 0
