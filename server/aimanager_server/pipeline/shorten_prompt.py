"""Shorten the prompt of an attempt: what its model cannot take, and what the caller lets the gateway leave out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..catalog.model import Model
from ..core.content import Message, PromptOptimization, Text
from ..core.conversation import ConversationTurn
from ..core.handler import AttemptHandler
from ..core.request import Attempt
from ..core.response import SettingWarning
from ..core.stream import ResponseStream
from ..core.token_estimate import CHARACTERS_PER_TOKEN
from .context_window import Fitted, Turns, fit_turns, readable
from .whitespace import SLICE_LENGTH, compacted

Result = TypeVar("Result")
RunInThread = Callable[[str, Callable[[], Any]], Awaitable[Any]]
"""Run a function that takes long in a thread, in turn with those of other callers."""

RESERVED_SHARE = 0.2
"""Share of the context window that is left to the response if the caller sets no `max_output_tokens`."""

MAX_COMPACTED_LENGTH = 8 * 1024 * 1024
"""Characters of a prompt whose whitespace is examined: more than a context window holds, and seconds of work."""

CONVERSATION_FIELD, OPTIMIZATIONS_FIELD = "conversation_id", "optimizations"


class ShortenPrompt:
    """Leave out meaningless whitespace, then the oldest turns that do not fit the model, with warnings.

    The history of a conversation always fits; other prompts are shortened if the caller asks. The conversation keeps it
    all. The new messages and the system instruction are never left out. Sizes in tokens are estimates.
    """

    def __init__(
        self,
        find_model: Callable[[str, str], Model | None],
        run_in_thread: RunInThread,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._find_model = find_model
        self._run_in_thread = run_in_thread
        self._pause = pause

    def __call__(self, attempt: Attempt[Any], proceed: AttemptHandler) -> Awaitable[ResponseStream]:
        """Proceed at once with a prompt that needs no change."""
        turn = attempt.call.turn
        if (turn is None or not turn.first_message) and not attempt.call.optimizations:
            return proceed(attempt)
        return self._shortened(attempt, proceed)

    async def _shortened(self, attempt: Attempt[Any], proceed: AttemptHandler) -> ResponseStream:
        turn, optimizations = attempt.call.turn, attempt.call.optimizations
        warnings: list[SettingWarning] = []
        # In place, so that a repair of the answer uses the same messages.
        if PromptOptimization.WHITESPACE in optimizations:
            warnings += await self._compact(attempt)
        if turn is not None and turn.first_message:
            warnings += self._fit_conversation(attempt, turn)
        elif PromptOptimization.HISTORY in optimizations:
            warnings += self._fit_messages(attempt)
        stream = await proceed(attempt)
        if warnings:
            stream.metadata.warnings = (*stream.metadata.warnings, *warnings)
        return stream

    async def _compact(self, attempt: Attempt[Any]) -> Sequence[SettingWarning]:
        """Leave out meaningless whitespace in texts and the system instruction."""
        messages, system = attempt.messages, attempt.system_instruction
        length = len(system) + sum(map(_text_length, messages))
        if length > MAX_COMPACTED_LENGTH:
            reason = f"more than {MAX_COMPACTED_LENGTH} characters"
            return (SettingWarning(OPTIMIZATIONS_FIELD, f"No whitespace was left out: the prompt has {reason}."),)
        if length <= SLICE_LENGTH:
            attempt.messages, attempt.system_instruction = _compact_all(messages, system, _Slices(None))
        else:
            attempt.messages, attempt.system_instruction = await self._run_in_thread(
                attempt.caller.name, lambda: _compact_all(messages, system, _Slices(self._pause))
            )
        removed = length - len(attempt.system_instruction) - sum(map(_text_length, attempt.messages))
        if not removed:
            return ()
        size = f"{removed} characters of whitespace (about {removed // CHARACTERS_PER_TOKEN} tokens)"
        return (SettingWarning(OPTIMIZATIONS_FIELD, f"{size} were left out."),)

    def _fit_conversation(self, attempt: Attempt[Any], turn: ConversationTurn) -> Sequence[SettingWarning]:
        warnings = []
        if turn.omitted:
            reason = "one call sends at most 32 MiB of history, and as many messages as a request may have"
            message = f"{turn.omitted} of the oldest turns were left out: {reason}."
            warnings.append(SettingWarning(CONVERSATION_FIELD, message))
        new_count = len(attempt.messages) - turn.first_message
        warnings += _fit(attempt, Turns.of_conversation(turn), CONVERSATION_FIELD)
        history_length = len(attempt.messages) - new_count
        model = self._find_model(*attempt.target.key)
        history = [readable(message, model) for message in attempt.messages[:history_length]]
        if any(new is not old for new, old in zip(history, attempt.messages, strict=False)):
            text = f"Attachments of earlier turns were left out: {attempt.target.model} cannot read them."
            warnings.append(SettingWarning(CONVERSATION_FIELD, text))
            attempt.messages = (*history, *attempt.messages[history_length:])
        return warnings

    def _fit_messages(self, attempt: Attempt[Any]) -> Sequence[SettingWarning]:
        turns = Turns.of_messages(attempt.messages)
        if attempt.target.context_window is None and turns.starts:
            reason = f"the context window of {attempt.target.model} is not known"
            return (SettingWarning(OPTIMIZATIONS_FIELD, f"No turns were left out: {reason}."),)
        return _fit(attempt, turns, OPTIMIZATIONS_FIELD)


def _fit(attempt: Attempt[Any], turns: Turns, field: str) -> Sequence[SettingWarning]:
    """Leave out the oldest turns of an attempt if its messages do not fit the model's context window."""
    window = attempt.target.context_window
    if window is None:
        return ()
    fitted = fit_turns(attempt.messages, turns, _budget(attempt, window))
    if not fitted.omitted_turns:
        return ()
    attempt.messages = fitted.messages
    return (
        SettingWarning(field, f"{_omission(fitted)}: {attempt.target.model} has a context window of {window} tokens."),
    )


def _budget(attempt: Attempt[Any], window: int) -> int:
    """Return how many tokens of the context window the messages may take."""
    reserved = attempt.target.sampling.max_output_tokens or int(window * RESERVED_SHARE)
    fixed = len(attempt.system_instruction) + sum(len(tool.input_schema_json) for tool in attempt.tools)
    return window - min(reserved, window // 2) - fixed // CHARACTERS_PER_TOKEN


def _omission(fitted: Fitted) -> str:
    size = f"{fitted.omitted_messages} messages, about {fitted.omitted_tokens} tokens"
    return f"{fitted.omitted_turns} of the oldest turns ({size}) were left out"


class _Slices:
    """Pauses a piece of work in a thread after each slice, for as long as the slice took."""

    def __init__(self, pause: Callable[[float], None] | None) -> None:
        self._pause = pause
        self._resumed_at = time.perf_counter()
        self._length = 0

    def compact(self, text: str) -> str:
        """Return the text without meaningless whitespace."""
        pieces = []
        for piece in compacted(text):
            pieces.append(piece)
            self._count(min(len(text), SLICE_LENGTH))
        return "".join(pieces)

    def _count(self, length: int) -> None:
        self._length += length
        if self._pause is not None and self._length >= SLICE_LENGTH:
            self._length = 0
            self._pause(time.perf_counter() - self._resumed_at)
            self._resumed_at = time.perf_counter()


def _compact_all(messages: Sequence[Message], system: str, slices: _Slices) -> tuple[tuple[Message, ...], str]:
    return tuple(_compact_message(message, slices) for message in messages), slices.compact(system)


def _compact_message(message: Message, slices: _Slices) -> Message:
    """Return the message with compacted texts; the same one if its provider has signed it."""
    if any(part.provider_state for part in message.parts):
        return message
    parts = [
        replace(part, text=slices.compact(part.text)) if isinstance(part, Text) else part for part in message.parts
    ]
    return replace(message, parts=tuple(parts))


def _text_length(message: Message) -> int:
    return sum(len(part.text) for part in message.parts if isinstance(part, Text))
