"""Conversations in memory, bounded in bytes and in the time since their last use."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from ..config.storage import StorageSettings
from ..core.conversation import Conversation, History, Summary, Turn
from ..core.usage import Cost, Usage
from .attachments import StoredAttachments
from .blobs import Blobs, in_slices
from .conversations import Change, Lease, Page, StoredTurn, busy, choose_page, choose_turns, not_found
from .turn_codec import EncodedTurn, decode_turns, encode_turn

OVERHEAD_BYTES = 2_000
"""Estimated size of a conversation, and of a turn, without its content."""

MICROSECOND = 0.000_001


@dataclass(slots=True)
class _Turn:
    payload: bytes
    digests: tuple[str, ...]
    totals: tuple[int, Usage | None, Cost | None]
    created_at: float
    is_interrupted: bool
    is_pinned: bool
    size: int

    def encoded(self, number: int) -> EncodedTurn:
        """Return what is decoded of the turn."""
        return EncodedTurn(number, self.payload, self.created_at, self.is_interrupted, self.is_pinned)


@dataclass(slots=True)
class _Stored:
    conversation: Conversation
    turns: list[_Turn] = field(default_factory=list)
    token: int = 0
    leased_until: float = 0.0


@dataclass(slots=True)
class _Owner:
    """The conversations of one owner, the one used last at the end, and their attachments by digest."""

    conversations: OrderedDict[str, _Stored] = field(default_factory=OrderedDict)
    attachments: dict[str, bytes] = field(default_factory=dict)
    references: Counter[str] = field(default_factory=Counter)
    size: int = 0


class MemoryConversations:
    """Keeps conversations in memory. Fulfils ConversationStore and AttachmentStore.

    Drops conversations that were idle for an hour, and the least recently used ones of the owner with the most bytes
    when all together exceed the limit.
    """

    def __init__(self, settings: StorageSettings, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._owners: dict[str, _Owner] = {}
        self._last_use = 0.0

    @property
    def size(self) -> int:
        """Return the bytes of everything that is stored."""
        return sum(owner.size for owner in tuple(self._owners.values()))

    @property
    def entries(self) -> int:
        """Return the number of conversations."""
        return sum(len(owner.conversations) for owner in tuple(self._owners.values()))

    def reconfigure(self, settings: StorageSettings) -> None:
        """Change the limits, and drop what exceeds them."""
        self._settings = settings
        self._drop_excess()

    async def create(self, conversation: Conversation, first_turns: Sequence[Turn] = ()) -> Conversation:
        """Store a new conversation with the turns it starts with."""
        data = [await Blobs.of(turn) for turn in first_turns]
        payloads: list[bytes] = []
        async for turn, blobs in in_slices(zip(first_turns, data, strict=True), lambda _: len(payloads[-1])):
            payloads.append(encode_turn(turn, blobs))
        owner = self._owners.setdefault(conversation.owner, _Owner())
        stored = owner.conversations[conversation.id] = _Stored(conversation.used_at(self._use()))
        owner.size += _size(stored.conversation)
        for turn, blobs, payload in zip(first_turns, data, payloads, strict=True):
            _add_turn(owner, stored, turn, blobs, payload)
        self._drop_excess(stored)
        return stored.conversation

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return a conversation without its turns."""
        return self._find(owner, conversation_id).conversation

    async def list(
        self, owner: str, limit: int, after: Page | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Conversation]:
        """Return conversations that have all the labels, the one used last first."""
        now, wanted = self._now(), (labels or {}).items()
        newest_first = reversed(self._owners.get(owner, _Owner()).conversations.values())
        matching = (
            stored.conversation
            for stored in newest_first
            if not self._is_expired(stored.conversation, now)
            and wanted <= stored.conversation.settings.labels.items()
            and (after is None or stored.conversation.updated_at < after.updated_at)
        )
        return list(islice(matching, limit))

    async def count(self, owner: str) -> int:
        """Return the number of conversations of an owner."""
        found = self._owners.get(owner)
        return 0 if found is None else len(found.conversations)

    async def update(self, owner: str, conversation_id: str, change: Change) -> Conversation:
        """Change the settings; this counts as a use."""
        stored = self._find(owner, conversation_id)
        changed = replace(stored.conversation, settings=change(stored.conversation.settings)).used_at(self._use())
        stored.conversation = changed
        self._owners[owner].conversations.move_to_end(conversation_id)
        return changed

    async def set_summary(self, owner: str, conversation_id: str, summary: Summary) -> Conversation:
        """Set the summary of the first turns, unless the conversation has one of more turns."""
        stored = self._find(owner, conversation_id)
        current = stored.conversation.summary
        if current is None or current.turns <= summary.turns:
            owned = self._owners[owner]
            owned.size -= _size(stored.conversation)
            stored.conversation = replace(stored.conversation, summary=summary)
            owned.size += _size(stored.conversation)
            self._drop_excess(stored)
        return stored.conversation

    async def pin(self, owner: str, conversation_id: str, number: int, *, is_pinned: bool) -> None:
        """Pin a turn, or unpin it; ignored for a turn that does not exist."""
        for turn in self._find(owner, conversation_id).turns[number : number + 1]:
            turn.is_pinned = is_pinned

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its turns and attachments, without a record, which would end with the server."""
        self._find(owner, conversation_id)
        self._remove(owner, conversation_id)

    async def delete_expired(self, limit: int) -> Sequence[str]:
        """Delete at most `limit` conversations that have expired; return their ids."""
        now = self._now()
        expired = (
            (owner, conversation_id)
            for owner, stored in self._owners.items()
            for conversation_id, one in stored.conversations.items()
            if self._is_expired(one.conversation, now)
        )
        found = list(islice(expired, limit))
        for owner, conversation_id in found:
            self._remove(owner, conversation_id)
        return [conversation_id for _, conversation_id in found]

    async def turns(
        self, owner: str, conversation_id: str, first_turn: int, limit: int, max_bytes: int
    ) -> Sequence[Turn]:
        """Return the turns from `first_turn` on: at most `limit`, and one or as many as have this size together."""
        stored = self._find(owner, conversation_id)
        sizes = [turn.size for turn in stored.turns[first_turn : first_turn + limit]]
        return await self._decode(owner, stored, range(first_turn, first_turn + choose_page(sizes, max_bytes)))

    async def history(self, owner: str, conversation_id: str, max_bytes: int) -> History:
        """Return what a prompt needs: the pinned turns, and the newest ones that are not summarized and fit."""
        stored = self._find(owner, conversation_id)
        sizes = [StoredTurn(number, turn.size, turn.is_pinned) for number, turn in enumerate(stored.turns)]
        summary = stored.conversation.summary
        first, pinned, omitted = choose_turns(sizes[::-1], 0 if summary is None else summary.turns, max_bytes)
        numbers = [*pinned, *range(first, len(stored.turns))]
        return History(stored.conversation, tuple(await self._decode(owner, stored, numbers)), omitted)

    async def acquire(self, owner: str, conversation_id: str, turn_count: int, seconds: float) -> Lease:
        """Take the lease of a conversation that has `turn_count` turns. Raises ConversationBusy."""
        stored, now = self._find(owner, conversation_id), self._now()
        if stored.leased_until > now or len(stored.turns) != turn_count:
            raise busy(conversation_id)
        stored.token += 1
        stored.leased_until = now + seconds
        return Lease(stored.conversation, stored.token)

    async def renew(self, lease: Lease, seconds: float) -> None:
        """Extend a lease. Raises ConversationBusy if it was lost."""
        self._held(lease).leased_until = self._now() + seconds

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that was lost is ignored."""
        owner = self._owners.get(lease.owner)
        stored = None if owner is None else owner.conversations.get(lease.conversation_id)
        if stored is not None and stored.token == lease.token:
            stored.leased_until = 0.0

    async def append(self, lease: Lease, turn: Turn) -> Conversation:
        """Add the next turn and give the lease back. Raises ConversationBusy if the lease was lost."""
        blobs = await Blobs.of(turn)
        stored, owner = self._held(lease), self._owners[lease.owner]
        if len(stored.turns) != turn.number:
            raise busy(lease.conversation_id)
        stored.leased_until = 0.0
        stored.conversation = stored.conversation.used_at(self._use())
        _add_turn(owner, stored, turn, blobs, encode_turn(turn, blobs))
        owner.conversations.move_to_end(lease.conversation_id)
        self._drop_excess(stored)
        return stored.conversation

    async def fork(self, owner: str, conversation_id: str, turn_count: int, copy: Conversation) -> Conversation:
        """Store `copy` with the first `turn_count` turns of a conversation, or all if it has fewer."""
        source, owned = self._find(owner, conversation_id), self._owners[owner]
        stored = owned.conversations[copy.id] = _Stored(copy.used_at(self._use()))
        owned.size += _size(stored.conversation)
        for turn in source.turns[:turn_count]:
            stored.turns.append(replace(turn))
            stored.conversation = stored.conversation.with_turn(*turn.totals)
            owned.references.update(turn.digests)
            owned.size += OVERHEAD_BYTES + len(turn.payload)
        self._drop_excess(stored)
        return stored.conversation

    async def read(self, owner: str, digests: Collection[str]) -> Mapping[str, bytes]:
        """Return those of the attachments that the owner has, by digest."""
        found = self._owners.get(owner, _Owner()).attachments
        return {digest: found[digest] for digest in digests if digest in found}

    async def stored(self, owner: str) -> StoredAttachments:
        """Return how much an owner has stored."""
        found = self._owners.get(owner, _Owner()).attachments.values()
        return StoredAttachments(len(found), sum(map(len, found)))

    def _use(self) -> float:
        """Return the time of a use: later than every other, so that conversations are in the order of their use."""
        self._last_use = max(self._now(), self._last_use + MICROSECOND)
        return self._last_use

    def _find(self, owner: str, conversation_id: str) -> _Stored:
        found = self._owners.get(owner)
        stored = None if found is None else found.conversations.get(conversation_id)
        if stored is None or self._is_expired(stored.conversation, self._now()):
            raise not_found(conversation_id)
        return stored

    def _is_expired(self, conversation: Conversation, now: float) -> bool:
        return min(conversation.expires_at, conversation.updated_at + self._settings.idle_memory_seconds) <= now

    def _held(self, lease: Lease) -> _Stored:
        stored = self._find(lease.owner, lease.conversation_id)
        if stored.token != lease.token or not stored.leased_until:
            raise busy(lease.conversation_id)
        return stored

    async def _decode(self, owner: str, stored: _Stored, numbers: Collection[int]) -> Sequence[Turn]:
        turns = [(number, stored.turns[number]) for number in numbers]
        attachments = self._owners[owner].attachments
        # Taken now: other tasks may delete the conversation while its turns are decoded.
        data = {digest: attachments[digest] for _, one in turns for digest in one.digests}

        async def read(digests: set[str]) -> Mapping[str, bytes]:
            return data

        return await decode_turns([one.encoded(number) for number, one in turns], read)

    def _drop_excess(self, used: _Stored | None = None) -> None:
        """Drop conversations until the rest fits, but never the one that is in use now."""
        while self.size > self._settings.max_memory_bytes:
            largest = max(self._owners, key=lambda name: self._owners[name].size)
            candidates = self._owners[largest].conversations
            oldest = next((one for one, stored in candidates.items() if stored is not used), None)
            if oldest is None:
                return
            self._remove(largest, oldest)

    def _remove(self, owner: str, conversation_id: str) -> None:
        owned = self._owners[owner]
        stored = owned.conversations.pop(conversation_id)
        owned.size -= _size(stored.conversation)
        for turn in stored.turns:
            owned.size -= OVERHEAD_BYTES + len(turn.payload)
            owned.references.subtract(turn.digests)
            for digest in turn.digests:
                if owned.references[digest] == 0:
                    del owned.references[digest]
                    owned.size -= len(owned.attachments.pop(digest))
        if not owned.conversations:
            del self._owners[owner]


def _size(conversation: Conversation) -> int:
    return OVERHEAD_BYTES + (0 if conversation.summary is None else conversation.summary.size)


def _add_turn(owner: _Owner, stored: _Stored, turn: Turn, blobs: Blobs, payload: bytes) -> None:
    size = len(payload) + sum(map(len, blobs.by_digest.values()))
    for digest, data in blobs.by_digest.items():
        if digest not in owner.attachments:
            owner.attachments[digest] = data
            owner.size += len(data)
    digests = tuple(blobs.by_digest)
    owner.references.update(digests)
    owner.size += OVERHEAD_BYTES + len(payload)
    totals = len(turn.messages), turn.usage, turn.cost
    stored.turns.append(_Turn(payload, digests, totals, turn.created_at, turn.is_interrupted, turn.is_pinned, size))
    stored.conversation = stored.conversation.with_turn(*totals)
