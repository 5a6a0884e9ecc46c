"""The protocol of a conversation store, which every implementation fulfils."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..core.conversation import Conversation, ConversationSettings, History, Summary, Turn
from ..core.errors import ConversationBusy, ConversationNotFound
from ..core.value import dataclass

MAX_SHOWN = 64
"""Characters of an id in error messages."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to append the next turn, for a limited time. `token` is larger than that of every earlier lease.

    A store rejects an append with a token that is no longer the current one, so a call that was paused longer than its
    lease cannot overwrite what another one added. `conversation` is as of the acquisition: only the holder of the lease
    changes the number of its turns and their totals.
    """

    conversation: Conversation
    token: int

    @property
    def owner(self) -> str:
        """Return the owner of the conversation."""
        return self.conversation.owner

    @property
    def conversation_id(self) -> str:
        """Return the id of the conversation."""
        return self.conversation.id


@dataclass(frozen=True, slots=True)
class Page:
    """A position in a list of conversations, newest use first: that of the last conversation already seen."""

    updated_at: float
    conversation_id: str


Change = Callable[[ConversationSettings], ConversationSettings]
"""Returns the new settings of a conversation."""


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """Number and size of a turn, with the data that it refers to."""

    number: int
    size: int
    is_pinned: bool


class ConversationStore(Protocol):
    """Keeps conversations by owner.

    Every method that takes an owner and an id raises ConversationNotFound for one that does not exist, has expired, or
    belongs to another owner, without any difference. All raise StorageUnavailable if the store cannot be reached. An
    operation happens completely or not at all.
    """

    async def create(self, conversation: Conversation, first_turns: Sequence[Turn] = ()) -> Conversation:
        """Store a new conversation with the turns it starts with."""
        ...

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return a conversation without its turns."""
        ...

    async def list(
        self, owner: str, limit: int, after: Page | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Conversation]:
        """Return conversations that have all the labels, the one used last first."""
        ...

    async def count(self, owner: str) -> int:
        """Return the number of conversations of an owner."""
        ...

    async def update(self, owner: str, conversation_id: str, change: Change) -> Conversation:
        """Change the settings; this counts as a use."""
        ...

    async def set_summary(self, owner: str, conversation_id: str, summary: Summary) -> Conversation:
        """Set the summary of the first turns, unless the conversation has one of more turns."""
        ...

    async def pin(self, owner: str, conversation_id: str, number: int, *, is_pinned: bool) -> None:
        """Pin a turn, or unpin it; ignored for a turn that does not exist."""
        ...

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its turns and attachments; keep a record of the deletion."""
        ...

    async def turns(
        self, owner: str, conversation_id: str, first_turn: int, limit: int, max_bytes: int
    ) -> Sequence[Turn]:
        """Return the turns from `first_turn` on: at most `limit`, and one or as many as have this size together."""
        ...

    async def history(self, owner: str, conversation_id: str, max_bytes: int) -> History:
        """Return what a prompt needs: the pinned turns, and the newest ones that are not summarized and fit."""
        ...

    async def acquire(self, owner: str, conversation_id: str, turn_count: int, seconds: float) -> Lease:
        """Take the lease of a conversation that has `turn_count` turns.

        Raises ConversationBusy if somebody else has it, or if the conversation has other turns by now.
        """
        ...

    async def renew(self, lease: Lease, seconds: float) -> None:
        """Extend a lease. Raises ConversationBusy if it was lost."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that was lost is ignored."""
        ...

    async def append(self, lease: Lease, turn: Turn) -> Conversation:
        """Add the next turn and give the lease back. `turn.number` is the number of turns that the conversation has.

        Raises ConversationBusy if the lease was lost.
        """
        ...

    async def fork(self, owner: str, conversation_id: str, turn_count: int, copy: Conversation) -> Conversation:
        """Store `copy` with the first `turn_count` turns of a conversation, or all if it has fewer."""
        ...

    async def delete_expired(self, limit: int) -> Sequence[str]:
        """Delete at most `limit` conversations that have expired; return their ids."""
        ...


def not_found(conversation_id: str) -> ConversationNotFound:
    """Return the error for an id that the caller cannot use, whatever the reason."""
    return ConversationNotFound(f"Conversation {conversation_id[:MAX_SHOWN]!r} was not found.")


def busy(conversation_id: str) -> ConversationBusy:
    """Return the error for a conversation that another call is adding a turn to, or has added one to."""
    return ConversationBusy(f"Another call is adding a turn to conversation {conversation_id[:MAX_SHOWN]!r}.")


def choose_turns(turns: Sequence[StoredTurn], summarized_turns: int, max_bytes: int) -> tuple[int, Sequence[int], int]:
    """Choose the turns of a prompt, from all turns in the order from the newest to the oldest.

    Returns the first of the newest turns that are not summarized and fit together with the pinned ones, the numbers of
    the pinned turns before it, and how many turns are left out. Pinned turns are left out only if they alone do not
    fit.
    """
    remaining, omitted = max_bytes, 0
    pinned: list[int] = []
    for turn in turns:
        if turn.is_pinned and turn.size <= remaining:
            remaining -= turn.size
            pinned.append(turn.number)
        elif turn.is_pinned:
            omitted += 1
    first = summarized_turns
    for turn in turns:
        if turn.is_pinned or turn.number < summarized_turns:
            continue
        remaining -= turn.size
        if remaining < 0:
            first = max(first, turn.number + 1)
            omitted += 1
    return first, sorted(number for number in pinned if number < first), omitted


def choose_page(sizes: Sequence[int], max_bytes: int) -> int:
    """Return how many of the turns have at most this size together, at least one.

    >>> choose_page([5, 4, 3], 9), choose_page([50, 4], 9), choose_page([], 9)
    (2, 1, 0)
    """
    total = 0
    for index, size in enumerate(sizes):
        total += size
        if total > max_bytes and index:
            return index
    return len(sizes)
