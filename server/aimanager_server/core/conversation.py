"""Conversations: their turns, and what a caller may set and see of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import field, replace

from .content import Artifact, Message
from .usage import Cost, Usage, add_cost, add_usage
from .value import dataclass

ID_PREFIX = "conv_"
ID_BYTES = 24
DIGITS = 6
"""Decimal places of times in seconds: databases store microseconds."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Messages that were added together: usually those of one call, and the answer as the last one.

    `number` counts from 0. `is_interrupted` marks an answer that ended before it was complete, `is_pinned` a turn that
    is never left out to make a prompt fit. `created_at` is a Unix time. `usage` and `cost` are those of the call;
    `cost` is None if its price is unknown or nothing was generated.
    """

    number: int
    messages: tuple[Message, ...]
    created_at: float
    is_interrupted: bool = False
    is_pinned: bool = False
    artifacts: tuple[Artifact, ...] = ()
    usage: Usage | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn that a caller adds, such as one of a conversation that was saved elsewhere."""

    messages: tuple[Message, ...]
    is_pinned: bool = False
    is_interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Compaction:
    """A provider's own compaction of turns. Only this model can read it, with the key that `provider_state` names."""

    provider: str
    model: str
    provider_state: bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """A text that replaces the first `turns` turns in prompts, and the model that wrote it. The turns are kept.

    `native` replaces the text in prompts for the model that made it, None if there is none.
    """

    turns: int
    text: str
    provider: str = ""
    model: str = ""
    native: Compaction | None = None

    @property
    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.text) + (0 if self.native is None else len(self.native.provider_state))


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """What a caller chooses: all of it can be changed later. `model` is used by calls that name none."""

    title: str = ""
    model: str = ""
    system_instruction: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation without its turns. It belongs to `owner`, the name of a caller, and nobody else can see it.

    Times are Unix times. It is deleted at `expires_at` unless it is used before: each use postpones that by
    `idle_seconds`, but not beyond `latest_expiry`. `usage` and `cost` are the sums
    of all turns; `cost` is None if the price of a turn is unknown. `forked_from` is the id of the conversation that it
    is a copy of, empty if it is none.
    """

    id: str
    owner: str
    settings: ConversationSettings
    created_at: float
    updated_at: float
    expires_at: float
    idle_seconds: float
    latest_expiry: float
    turn_count: int = 0
    message_count: int = 0
    usage: Usage = Usage()
    cost: Cost | None = Cost(0, 0, estimated=False)
    forked_from: str = ""
    summary: Summary | None = None

    def used_at(self, now: float) -> Conversation:
        """Return the conversation after a use."""
        expires_at = min(now + self.idle_seconds, self.latest_expiry)
        return replace(self, updated_at=round(now, DIGITS), expires_at=round(expires_at, DIGITS))

    def with_turn(self, messages: int, usage: Usage | None, cost: Cost | None) -> Conversation:
        """Return the conversation with one more turn of so many messages."""
        return replace(
            self,
            turn_count=self.turn_count + 1,
            message_count=self.message_count + messages,
            usage=self.usage if usage is None else add_usage(self.usage, usage) if self.usage != Usage() else usage,
            cost=self.cost if usage is None else add_cost(self.cost, cost),
        )


@dataclass(frozen=True, slots=True)
class History:
    """A conversation and the turns that a prompt needs, in order.

    `omitted` counts those that are neither in the summary nor among `turns`, because the conversation is too large.
    """

    conversation: Conversation
    turns: tuple[Turn, ...]
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class ConversationTurn:
    """The next turn of a conversation, as a call adds it.

    `first_message` is the index of its first message among those of the call: the others are history. `turn_starts` are
    the indices of the first messages of the earlier turns, in order; those of `pinned_starts` are never left out.
    `omitted` counts the turns that are missing because the history is larger than a request may be.
    """

    conversation_id: str
    number: int
    first_message: int
    turn_starts: tuple[int, ...] = ()
    pinned_starts: frozenset[int] = frozenset()
    omitted: int = 0


def new_conversation(
    owner: str, settings: ConversationSettings, now: float, idle_seconds: float, max_age_seconds: float
) -> Conversation:
    """Return an empty conversation with an id that cannot be guessed: 192 random bits."""
    conversation_id = ID_PREFIX + secrets.token_urlsafe(ID_BYTES)
    now = round(now, DIGITS)
    latest = now + max_age_seconds
    return Conversation(
        conversation_id, owner, settings, now, now, min(now + idle_seconds, latest), idle_seconds, latest
    )
