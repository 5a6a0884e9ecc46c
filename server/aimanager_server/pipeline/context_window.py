"""Leave out the oldest turns of a conversation that is too long for the model, and attachments it cannot read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from ..catalog.model import Capability, Model
from ..core.content import Attachment, Message, Part, Text, ToolResult
from ..core.conversation import ConversationTurn
from ..core.handler import AttemptHandler
from ..core.request import Attempt
from ..core.response import SettingWarning
from ..core.stream import ResponseStream
from ..core.token_estimate import CHARACTERS_PER_TOKEN, estimate_message_tokens

RESERVED_SHARE = 0.2
"""Share of the context window that is left to the response if the caller sets no `max_output_tokens`."""

FIELD = "conversation_id"


class FitContextWindow:
    """Shorten the history of a conversation for the model of an attempt, with a warning. The conversation keeps it all.

    Turns are left out as a whole, so a tool call keeps its result; pinned turns, the new messages and the system
    instruction are never left out. The size is an estimate.
    """

    def __init__(self, find_model: Callable[[str, str], Model | None]) -> None:
        self._find_model = find_model

    def __call__(self, attempt: Attempt[Any], proceed: AttemptHandler) -> Awaitable[ResponseStream]:
        """Proceed at once without a conversation."""
        turn = attempt.call.turn
        return proceed(attempt) if turn is None or not turn.first_message else self._fitted(attempt, turn, proceed)

    async def _fitted(self, attempt: Attempt[Any], turn: ConversationTurn, proceed: AttemptHandler) -> ResponseStream:
        messages, warnings = attempt.messages, []
        if turn.omitted:
            reason = "one call sends at most 32 MiB of history, and as many messages as a request may have"
            warnings.append(SettingWarning(FIELD, f"{turn.omitted} of the oldest turns were left out: {reason}."))
        model = self._find_model(*attempt.target.key)
        window = attempt.target.context_window
        if window is not None:
            kept, omitted = _fitting(messages, turn, self._budget(attempt, window))
            if omitted:
                messages = kept
                reason = f"{attempt.target.model} has a context window of {window} tokens"
                warnings.append(SettingWarning(FIELD, f"{omitted} of the oldest turns were left out: {reason}."))
        history_length = len(messages) - (len(attempt.messages) - turn.first_message)
        readable = [_readable(message, model) for message in messages[:history_length]]
        if any(new is not old for new, old in zip(readable, messages, strict=False)):
            text = f"Attachments of earlier turns were left out: {attempt.target.model} cannot read them."
            warnings.append(SettingWarning(FIELD, text))
        # In place, so that a repair of the answer uses the same messages.
        attempt.messages = (*readable, *messages[history_length:])
        stream = await proceed(attempt)
        if warnings:
            stream.metadata.warnings = (*stream.metadata.warnings, *warnings)
        return stream

    def _budget(self, attempt: Attempt[Any], window: int) -> int:
        reserved = attempt.target.sampling.max_output_tokens or int(window * RESERVED_SHARE)
        fixed = len(attempt.system_instruction) + sum(len(tool.input_schema_json) for tool in attempt.tools)
        return window - min(reserved, window // 2) - fixed // CHARACTERS_PER_TOKEN


def _fitting(messages: Sequence[Message], turn: ConversationTurn, budget: int) -> tuple[tuple[Message, ...], int]:
    """Return the messages that fit, and how many turns were left out."""
    sizes = [estimate_message_tokens(message) for message in messages]
    excess = sum(sizes) - budget
    if excess <= 0:
        return tuple(messages), 0
    ends = (*turn.turn_starts[1:], turn.first_message)
    dropped: set[int] = set()
    omitted = 0
    for position, (start, end) in enumerate(zip(turn.turn_starts, ends, strict=True)):
        if start in turn.pinned_starts:
            continue
        follows_dropped = not start or start - 1 in dropped
        if excess <= 0 and not (follows_dropped and messages[start].needs_previous):
            break
        if position + 1 == len(ends) and messages[turn.first_message].needs_previous:
            break  # the new messages have the results of its tool calls
        dropped.update(range(start, end))
        excess -= sum(sizes[start:end])
        omitted += 1
    return tuple(message for index, message in enumerate(messages) if index not in dropped), omitted


def _readable(message: Message, model: Model | None) -> Message:
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
        readable = tuple(attachment for attachment in part.attachments if _can_read(attachment, model))
        return replace(part, attachments=readable)
    assert isinstance(part, Attachment)
    return Text(f"[{part.kind} {part.filename or part.mime_type} was left out]")
