"""Operations on conversations, and the history that a generation request continues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ..config.settings import Settings
from ..core.content import Message, Reasoning, Role, Text, ToolCall, ToolResult
from ..core.conversation import (
    Conversation,
    ConversationSettings,
    ConversationTurn,
    History,
    NewTurn,
    Summary,
    Turn,
    new_conversation,
)
from ..core.errors import FieldViolation, GatewayError, InvalidRequest, RateLimited, StorageUnavailable
from ..core.request import Caller, GenerateParams
from ..core.response import GenerateResult, SettingWarning
from ..core.usage import Cost, Usage, add_cost, add_usage
from ..storage.conversations import Change, Page
from ..storage.opening import Storage
from ..storage.unfinished_turns import UnfinishedTurns
from ..validation.messages import (
    MAX_MESSAGE_JSON_VALUES,
    json_length,
    json_values,
    message_violations,
    tool_result_violations,
    without_history,
)
from ..validation.violations import MAX_VIOLATIONS, Violation, raise_violations
from .compact_natively import NativeCompaction

LEASE_SECONDS = 30.0
"""Lease of an operation that only appends messages."""

DEFAULT_KEPT_TURNS = 4

MAX_HISTORY_BYTES = 32 * 1024 * 1024
"""Size of the history that one call sends, as large as a request."""

MAX_PAGE_BYTES = 24 * 1024 * 1024
"""Size of the turns in one page, which clients accept as one message."""

SUMMARY_PROMPT = (
    "Summarize the conversation so far for a reader who continues it without seeing it. Keep every fact, decision, "
    "name, number, open question and preference that may matter later; leave out pleasantries. Write plain text."
)
SUMMARY_PREFIX = "Summary of the conversation so far:\n\n"
MAX_SUMMARIZED_CHARACTERS = 2_000_000
"""Characters of the turns that one summary replaces, unless the first alone has more."""

Generate = Callable[[GenerateParams], Awaitable[GenerateResult]]
"""Run a generation request of the caller through the whole pipeline."""


CompactNative = Callable[[GenerateParams], Awaitable[NativeCompaction]]
"""Have the provider of a model compact messages, as a call of the caller."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """A conversation after a compaction, and what was generated for it: nothing if `usage` is None."""

    conversation: Conversation
    usage: Usage | None = None
    cost: Cost | None = None
    warnings: tuple[SettingWarning, ...] = ()


class Conversations:
    """Operations of one configuration over the stores. `now` returns the Unix time."""

    def __init__(
        self, storage: Storage, unfinished: UnfinishedTurns, settings: Settings, now: Callable[[], float]
    ) -> None:
        self._store = storage.conversations
        self._forget_responses = storage.forget
        self._unfinished = unfinished
        self._settings = settings.conversations
        self._limits = settings.limits
        self._now = now

    async def create(
        self, owner: str, settings: ConversationSettings, turns: Sequence[NewTurn], idle_seconds: float | None
    ) -> Conversation:
        """Create a conversation with all the turns, or none. Raises InvalidRequest or RateLimited."""
        self._check_turns(turns)
        limit = self._settings.max_per_caller
        if await self._store.count(owner) >= limit:
            raise RateLimited(
                f"The caller already has {limit} conversations.",
                solution="Delete conversations, or ask the operator to raise conversations.max_per_caller.",
                metadata={"quota": "conversations", "limit": str(limit), "subject": owner},
            )
        idle = self._settings.idle_ttl_seconds if idle_seconds is None else idle_seconds
        idle = min(idle, self._settings.idle_ttl_seconds)
        now = self._now()
        started = new_conversation(owner, settings, now, idle, self._settings.max_age_seconds)
        return await self._store.create(started, [_stored_turn(number, turn, now) for number, turn in enumerate(turns)])

    async def append(self, owner: str, conversation_id: str, turn: NewTurn) -> Conversation:
        """Add a turn. Raises InvalidRequest, ConversationNotFound or ConversationBusy."""
        await self._unfinished.wait_for(conversation_id)
        number = (await self._store.get(owner, conversation_id)).turn_count
        self._check_turn_count(conversation_id, number)
        last = await self._store.turns(owner, conversation_id, number - 1, 1, MAX_PAGE_BYTES) if number else ()
        raise_violations(self._violations(turn.messages, last[-1].messages if last else (), has_history=number > 0))
        lease = await self._store.acquire(owner, conversation_id, number, LEASE_SECONDS)
        return await self._store.append(lease, _stored_turn(number, turn, self._now()))

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return a conversation. Raises ConversationNotFound."""
        return await self._store.get(owner, conversation_id)

    async def list(
        self, owner: str, limit: int, after: Page | None, labels: Mapping[str, str]
    ) -> Sequence[Conversation]:
        """Return conversations that have all the labels, the one used last first."""
        return await self._store.list(owner, limit, after, labels)

    async def update(self, owner: str, conversation_id: str, change: Change) -> Conversation:
        """Change the settings. Raises ConversationNotFound."""
        return await self._store.update(owner, conversation_id, change)

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation and the responses kept for its calls. Raises ConversationNotFound."""
        await self._store.delete(owner, conversation_id)
        await self._forget_responses(conversation_id)

    async def turns(self, owner: str, conversation_id: str, first_turn: int, limit: int) -> Sequence[Turn]:
        """Return turns in order, at most `limit` and 24 MiB. Raises ConversationNotFound."""
        return await self._store.turns(owner, conversation_id, first_turn, limit, MAX_PAGE_BYTES)

    async def pin(self, owner: str, conversation_id: str, number: int, *, is_pinned: bool) -> None:
        """Pin or unpin a turn. Raises ConversationNotFound, and InvalidRequest for a turn that does not exist."""
        count = (await self._store.get(owner, conversation_id)).turn_count
        if not 0 <= number < count:
            raise _invalid("turn", f"must be less than the number of turns, {count}, got {number}")
        await self._store.pin(owner, conversation_id, number, is_pinned=is_pinned)

    async def fork(self, owner: str, conversation_id: str, turn_count: int | None, title: str | None) -> Conversation:
        """Copy a conversation up to a turn. Raises ConversationNotFound or InvalidRequest."""
        origin = await self._store.get(owner, conversation_id)
        count = origin.turn_count if turn_count is None else turn_count
        if not 0 <= count <= origin.turn_count:
            raise _invalid("turn_count", f"must be at most the number of turns, {origin.turn_count}, got {count}")
        settings = origin.settings if title is None else replace(origin.settings, title=title)
        copy = new_conversation(owner, settings, self._now(), origin.idle_seconds, self._settings.max_age_seconds)
        summary = origin.summary if origin.summary is not None and origin.summary.turns <= count else None
        return await self._store.fork(
            owner, conversation_id, count, replace(copy, forked_from=origin.id, summary=summary)
        )

    async def compact(
        self,
        owner: str,
        conversation_id: str,
        model: str,
        kept_turns: int,
        generate: Generate,
        compact_native: CompactNative | None = None,
    ) -> Compacted:
        """Summarize all turns but the newest. Raises ConversationNotFound and the errors of a generation.

        The summary includes the one before, and as many turns as fit into one request. If the generation fails, the
        conversation stays as it was. With `compact_native`, the provider of the conversation's model compacts the same
        turns as well; if that fails, a warning says why.
        """
        await self._unfinished.wait_for(conversation_id)
        conversation = await self._store.get(owner, conversation_id)
        first = 0 if conversation.summary is None else conversation.summary.turns
        limit = conversation.turn_count - kept_turns - first
        if limit <= 0:
            return Compacted(conversation)
        # With the first turn that is kept. What does not fit is left to the next compaction.
        turns = await self._store.turns(owner, conversation_id, first, limit + 1, MAX_PAGE_BYTES)
        older = turns[: _summarized(turns, limit)]
        if not older:
            return Compacted(conversation)
        last = older[-1].number + 1
        name = model or self._settings.summary_model or conversation.settings.model
        result = await generate(GenerateParams(messages=(_transcript(conversation.summary, older),), model=name))
        text = "".join(part.text for part in result.message.parts if isinstance(part, Text))
        if not text.strip():
            raise _invalid("model", f"returned no summary; use another one than {name!r}")
        summary = Summary(last, text, result.metadata.provider, result.metadata.model)
        # Stored at once, so that nothing that happens to the provider's compaction loses it.
        changed = await self._store.set_summary(owner, conversation_id, summary)
        usage, cost = result.finished.usage, result.finished.cost
        if compact_native is None:
            return Compacted(changed, usage, cost)
        messages, _ = prompt_of(History(conversation, tuple(older)), self._limits.max_messages)
        settings = conversation.settings
        try:
            native = await compact_native(
                GenerateParams(
                    tuple(messages),
                    settings.model,
                    system_instruction=settings.system_instruction,
                    is_generation=False,
                )
            )
        except GatewayError as error:
            if error.usage is not None:
                usage, cost = add_usage(usage, error.usage), add_cost(cost, error.cost)
            return Compacted(changed, usage, cost, (SettingWarning("native", error.message),))
        summary = replace(summary, native=native.compaction)
        changed = await self._store.set_summary(owner, conversation_id, summary)
        return Compacted(changed, add_usage(usage, native.usage), add_cost(cost, native.cost))

    async def continued(self, params: GenerateParams, caller: Caller) -> GenerateParams:
        """Return the request with the history of its conversation, and the settings that it leaves out.

        Raises ConversationNotFound or InvalidRequest.
        """
        if not params.conversation_id:
            return params
        history = await self._history(caller.name, params.conversation_id)
        conversation, settings = history.conversation, history.conversation.settings
        self._check_turn_count(conversation.id, conversation.turn_count)
        messages, turn = prompt_of(history, self._limits.max_messages - len(params.messages))
        return replace(
            params,
            model=params.model or settings.model,
            system_instruction=params.system_instruction or settings.system_instruction,
            messages=(*messages, *params.messages),
            turn=turn,
        )

    async def _history(self, owner: str, conversation_id: str) -> History:
        await self._unfinished.wait_for(conversation_id)
        return await self._store.history(owner, conversation_id, MAX_HISTORY_BYTES)

    def _check_turn_count(self, conversation_id: str, count: int) -> None:
        if count >= self._settings.max_turns:
            description = f"has {count} turns, the maximum (conversations.max_turns); fork it or start another one"
            raise _invalid("conversation_id", description)

    def _check_turns(self, turns: Sequence[NewTurn]) -> None:
        """Check the turns that a conversation begins with. Raises InvalidRequest with the paths of `turns`."""
        limit = self._settings.max_turns
        if len(turns) > limit:
            raise _invalid("turns", f"must have at most {limit} items (conversations.max_turns), got {len(turns)}")
        previous: Sequence[Message] = ()
        found: list[Violation] = []
        for index, turn in enumerate(turns):
            prefix = f"turns[{index}]." if len(turns) > 1 else ""
            violations = self._violations(turn.messages, previous, has_history=index > 0)
            found += (replace(violation, field=f"{prefix}{violation.field}") for violation in violations)
            if len(found) > MAX_VIOLATIONS:
                break
            previous = turn.messages
        raise_violations(found)

    def _violations(
        self, messages: Sequence[Message], previous: Sequence[Message], *, has_history: bool
    ) -> Sequence[Violation]:
        """Return the violations of messages that follow the turn `previous`, which may end in open tool calls."""
        pending = [message for message in previous[-1:] if message.role is Role.ASSISTANT]
        found = message_violations(messages, self._limits, has_history=has_history)
        return [*found, *_result_violations([*pending, *messages], len(pending))]


def _stored_turn(number: int, turn: NewTurn, now: float) -> Turn:
    return Turn(number, turn.messages, now, turn.is_interrupted, turn.is_pinned)


def prompt_of(history: History, max_messages: int) -> tuple[Sequence[Message], ConversationTurn]:
    """Return the messages of a history, at most so many, and the turn that continues them.

    A history from which turns are missing begins with a summary of them, or else with the first turn that makes sense
    alone.
    """
    conversation, turns = history.conversation, list(history.turns)
    messages: list[Message] = []
    if conversation.summary is not None:
        messages.append(_summary_message(conversation.summary))
    turns = turns[_first_kept(turns, max_messages - len(messages)) :]
    starts, pinned = [], {0} if messages else set()
    starts += [0] if messages else []
    for turn in turns:
        if turn.is_pinned:
            pinned.add(len(messages))
        starts.append(len(messages))
        messages += turn.messages
    return messages, ConversationTurn(
        conversation.id, conversation.turn_count, len(messages), tuple(starts), frozenset(pinned),
        history.omitted + len(history.turns) - len(turns),
    )  # fmt: skip


def _first_kept(turns: Sequence[Turn], max_messages: int) -> int:
    """Return the first of the turns that a prompt can have, in messages and in JSON that takes time to parse."""
    json = [json_length(turn.messages) for turn in turns]
    if sum(json) > MAX_MESSAGE_JSON_VALUES:
        json = [json_values(turn.messages) for turn in turns]
    messages, values = sum(len(turn.messages) for turn in turns), sum(json)
    for first, turn in enumerate(turns):
        if messages <= max_messages and values <= MAX_MESSAGE_JSON_VALUES and not turn.messages[0].needs_previous:
            return first
        messages, values = messages - len(turn.messages), values - json[first]
    return len(turns)


def _summary_message(summary: Summary) -> Message:
    """Return the summary as text, and as the state of the model that can read its own compaction instead."""
    text, native = SUMMARY_PREFIX + summary.text, summary.native
    if native is None:
        return Message(Role.USER, (Text(text),))
    return Message(Role.USER, (Text(text, native.provider_state),), native.provider, native.model)


def _summarized(turns: Sequence[Turn], limit: int) -> int:
    """Return how many of the turns to summarize, at most `limit`: those whose texts fit, at least the first.

    A turn that answers tool calls stays with the turn that has them.
    """
    count, length = 0, 0
    for turn in turns[:limit]:
        length += sum(len(_text_of(message)) for message in turn.messages)
        if count and length > MAX_SUMMARIZED_CHARACTERS:
            break
        count += 1
    while count and (
        (count < len(turns) and turns[count].messages[0].needs_previous)
        or any(isinstance(part, ToolCall) for part in turns[count - 1].messages[-1].parts)
    ):
        count -= 1
    return count


def _transcript(summary: Summary | None, turns: Sequence[Turn]) -> Message:
    """Return the prompt with the turns to summarize as text, so that any model can read them."""
    lines = [SUMMARY_PROMPT, ""]
    if summary is not None:
        lines += [SUMMARY_PREFIX, summary.text, ""]
    lines += [
        f"{message.role.value}: {text}" for turn in turns for message in turn.messages if (text := _text_of(message))
    ]
    return Message(Role.USER, (Text("\n".join(lines)),))


def _text_of(message: Message) -> str:
    texts: list[str] = []
    for part in message.parts:
        match part:
            case Text():
                texts.append(part.text)
            case ToolCall():
                texts.append(f"[called {part.name} with {part.arguments_json}]")
            case ToolResult():
                texts.append(f"[{part.name} returned {part.output}]")
            case Reasoning():
                pass
            case _:
                texts.append(f"[{part.kind} {part.filename or part.mime_type}]")
    return "\n".join(texts)


def _result_violations(messages: Sequence[Message], first: int) -> Sequence[FieldViolation]:
    """Return the violations of tool results; calls of the last message may still be answered by the next turn."""
    has_open_calls = any(isinstance(part, ToolCall) for message in messages[-1:] for part in message.parts)
    checked = messages[:-1] if has_open_calls else messages
    return [without_history(violation, first) for violation in tool_result_violations(checked)]


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {description}.", violations=(FieldViolation(field, description),))


async def delete_expired(storage: Storage, interval: float) -> None:
    """Delete what has expired, until cancelled. While the database cannot be reached, it is tried again."""
    while True:
        with suppress(StorageUnavailable):
            await storage.delete_expired()
        await asyncio.sleep(interval)
