"""Estimate the tokens of a prompt without a tokenizer."""

from __future__ import annotations

from typing import Any

from .content import Message, Reasoning, Text, ToolCall, ToolResult
from .request import Attempt, Call, GenerateParams

CHARACTERS_PER_TOKEN = 4


def estimate_tokens(request: Call | Attempt[Any] | GenerateParams) -> int:
    """Return a rough count of the prompt's tokens: four characters per token, without attachments."""
    length = len(request.system_instruction) + sum(len(tool.input_schema_json) for tool in request.tools)
    return (length + sum(map(_length, request.messages))) // CHARACTERS_PER_TOKEN + 1


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
