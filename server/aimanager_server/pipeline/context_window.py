"""Choose the turns that fit a model's context window, and the attachments that it can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..catalog.model import Capability, Model
from ..core.content import Attachment, Message, Part, Text, ToolResult, turn_starts
from ..core.conversation import ConversationTurn
from ..core.token_estimate import estimate_message_tokens
from ..core.value import dataclass


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of a prompt: the indices of their first messages, those that always stay, and where the new part is."""

    starts: tuple[int, ...]
    pinned: frozenset[int]
    first_new: int

    @classmethod
    def of_conversation(cls, turn: ConversationTurn) -> Turns:
        """Return the turns of a conversation, and what the call adds to it."""
        return cls(turn.turn_starts, turn.pinned_starts, turn.first_message)

    @classmethod
    def of_messages(cls, messages: Sequence[Message]) -> Turns:
        """Return the turns of messages that the caller sent; the newest one is new."""
        *starts, newest = turn_starts(messages)
        return cls(tuple(starts), frozenset(), newest)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The messages that are sent, and what was left out: turns, their messages and their estimated tokens."""

    messages: tuple[Message, ...]
    omitted_turns: int = 0
    omitted_messages: int = 0
    omitted_tokens: int = 0


def fit_turns(messages: Sequence[Message], turns: Turns, budget: int) -> Fitted:
    """Leave out the oldest turns until the rest has at most `budget` estimated tokens, if it can.

    Turns are left out as a whole, so a tool call keeps its result; pinned and new ones never are.
    """
    sizes = [estimate_message_tokens(message) for message in messages]
    excess = sum(sizes) - budget
    if excess <= 0 or not turns.starts:
        return Fitted(tuple(messages))
    ends = (*turns.starts[1:], turns.first_new)
    dropped: set[int] = set()
    omitted, omitted_tokens = 0, 0
    for position, (start, end) in enumerate(zip(turns.starts, ends, strict=True)):
        if start in turns.pinned:
            continue
        follows_dropped = not start or start - 1 in dropped
        if excess <= omitted_tokens and not (follows_dropped and messages[start].needs_previous):
            break
        if position + 1 == len(ends) and messages[turns.first_new].needs_previous:
            break  # the new messages have the results of its tool calls
        dropped.update(range(start, end))
        omitted_tokens += sum(sizes[start:end])
        omitted += 1
    kept = tuple(message for index, message in enumerate(messages) if index not in dropped)
    return Fitted(kept, omitted, len(dropped), omitted_tokens)


def readable(message: Message, model: Model | None) -> Message:
    """Return the message without attachments that the model is known not to read; the same one if it reads all."""
    if model is None or all(_can_read(part, model) for part in message.parts):
        return message
    return replace(message, parts=tuple(_replaced(part, model) for part in message.parts))


def _can_read(part: Part, model: Model) -> bool:
    if isinstance(part, ToolResult):
        return all(_can_read(attachment, model) for attachment in part.attachments)
    if not isinstance(part, Attachment) or part.is_text:
        return True
    capability = Capability.IMAGE_INPUT if part.is_image else Capability.DOCUMENT_INPUT
    return model.supports(capability) is not False


def _replaced(part: Part, model: Model) -> Part:
    if _can_read(part, model):
        return part
    if isinstance(part, ToolResult):
        readable_ones = tuple(attachment for attachment in part.attachments if _can_read(attachment, model))
        return replace(part, attachments=readable_ones)
    assert isinstance(part, Attachment)
    return Text(f"[{part.kind} {part.filename or part.mime_type} was left out]")
