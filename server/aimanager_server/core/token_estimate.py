"""Estimate the tokens of a prompt without a tokenizer."""

from __future__ import annotations

from typing import Any

from .content import Message, Reasoning, Text, ToolCall, ToolResult, attachments_of
from .request import Attempt, Call, GenerateParams

CHARACTERS_PER_TOKEN = 4
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
        size = len(attachment.data or b"")
        pages = 1 if attachment.is_image else size // BYTES_PER_PAGE + 1
        tokens += size // CHARACTERS_PER_TOKEN if attachment.is_text else pages * ATTACHMENT_TOKENS
    return tokens


def _length(message: Message) -> int:
    total = 0
    for part in message.parts:
        match part:
            case Text() | Reasoning():
                total += len(part.text)
            case ToolCall():
                total += len(part.arguments_json)
            case ToolResult():
                total += len(part.output)
            case _:
                pass
    return total
