"""Read the prompts of calls to the mock provider: their text, directives, tool results and number of tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from ...core.errors import ProviderRejectedRequest
from ...core.request import Attempt
from .pace import Pace
from .script import ParsedScript
from .script_parser import parse_untrusted_script
from .tokens import TokenCounter

STATE_PREFIX = b"mock:"
"""The start of every provider_state of the mock provider."""

TOKENS_PER_ATTACHMENT = 100

WINDOW = 65_536
"""Characters that are searched or hashed in one step."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The last user message with text, and the tool results since then.

    `tool_round` is the number of later user messages that contain only tool results. `tool_results` and `attachments`
    are those of the last user message.
    """

    text: str
    script: ParsedScript
    tool_round: int = 0
    tool_results: tuple[ToolResult, ...] = ()
    attachments: tuple[Attachment, ...] = ()


async def read_prompt(attempt: Attempt[Any], max_answer_length: int, pace: Pace) -> Prompt:
    """Return the prompt of a call. Raises InvalidRequest if it contains a malformed directive."""
    user_messages = [message for message in attempt.messages if message.role is Role.USER]
    tool_round, text = 0, ""
    for message in reversed(user_messages):
        text = " ".join([part.text for part in message.parts if isinstance(part, Text)])
        if not await _is_blank(text, pace):
            break
        tool_round += any(isinstance(part, ToolResult) for part in message.parts)
    last_parts = user_messages[-1].parts if user_messages else ()
    return Prompt(
        text,
        await parse_untrusted_script(text, max_answer_length, pace),
        tool_round,
        tuple(part for part in last_parts if isinstance(part, ToolResult)),
        tuple(part for part in last_parts if isinstance(part, Attachment)),
    )


async def contains(text: str, wanted: str, pace: Pace) -> bool:
    """Return whether a text of any length contains another text."""
    for start in range(0, max(len(text), 1), WINDOW):
        if text.find(wanted, start, start + WINDOW + len(wanted)) >= 0:
            return True
        if pace.is_due():
            await pace.pause()
    return False


async def digest(header: str, text: str, pace: Pace) -> bytes:
    """Return a digest of a header and a text of any length."""
    state = hashlib.blake2b(f"{len(header)} {header}".encode(), digest_size=16)
    for start in range(0, len(text), WINDOW):
        state.update(text[start : start + WINDOW].encode())
        if pace.is_due():
            await pace.pause()
    return state.digest()


def provider_state_for(text: str) -> bytes:
    """Return the signature of a reasoning text."""
    return STATE_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:32].encode()


async def check_provider_states(attempt: Attempt[Any], max_answer_length: int, pace: Pace) -> None:
    """Raise ProviderRejectedRequest if reasoning of the mock provider was modified or lost its provider_state."""
    for index, message in enumerate(attempt.messages):
        if message.role is not Role.ASSISTANT:
            continue
        for part in message.parts:
            if isinstance(part, Reasoning) and _is_modified(part, message, attempt, max_answer_length):
                raise ProviderRejectedRequest(
                    f"messages[{index}]: the reasoning does not match its provider_state.",
                    provider=attempt.target.provider,
                    model=attempt.target.model,
                    solution="Send reasoning parts back unmodified, both text and provider_state.",
                )
            if pace.is_due():
                await pace.pause()


async def count_input_tokens(attempt: Attempt[Any], pace: Pace) -> int:
    """Return the tokens of the system instruction and of all messages."""
    counter = TokenCounter(pace)
    await counter.add_text(attempt.system_instruction)
    for message in attempt.messages:
        await _count_parts(message.parts, counter, pace)
    return counter.total


async def _count_parts(parts: Sequence[Part], counter: TokenCounter, pace: Pace) -> None:
    for part in parts:
        match part:
            case Text() | Reasoning():
                await counter.add_text(part.text)
            case Attachment():
                counter.total += TOKENS_PER_ATTACHMENT
            case ToolCall():
                counter.total += 1
                counter.add_arguments(part.arguments_json)
            case ToolResult():
                await counter.add_text(part.output)
                counter.total += TOKENS_PER_ATTACHMENT * len(part.attachments)
        if pace.is_due():
            await pace.pause()


def _is_modified(part: Reasoning, message: Message, attempt: Attempt[Any], max_answer_length: int) -> bool:
    is_own = message.provider == attempt.target.provider or part.provider_state.startswith(STATE_PREFIX)
    # The mock provider wrote no longer text, and hashing it would block the event loop.
    is_too_long = len(part.text) > max_answer_length
    return is_own and (is_too_long or part.provider_state != provider_state_for(part.text))


async def _is_blank(text: str, pace: Pace) -> bool:
    for start in range(0, len(text), WINDOW):
        if not text[start : start + WINDOW].isspace():
            return False
        if pace.is_due():
            await pace.pause()
    return True
