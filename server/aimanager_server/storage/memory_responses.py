"""Responses for equal requests in memory, bounded in entries, bytes and age, and fair between callers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from ..config.response_cache import ResponseCacheSettings
from ..telemetry.response_cache_metrics import ResponseCacheMetrics
from .cache_key import CacheKey
from .memory_idempotency import estimate_bytes
from .response_cache import CachedResponse

SLICE = 1_000
"""Entries that are examined before other tasks may run."""


@dataclass(frozen=True, slots=True)
class _Entry:
    key: CacheKey
    response: CachedResponse
    size: int


@dataclass(slots=True)
class _Owner:
    """The entries of one caller, the least recently used first."""

    entries: OrderedDict[bytes, _Entry] = field(default_factory=OrderedDict)
    size: int = 0


class MemoryResponses:
    """Keeps responses in memory. Fulfils ResponseStore.

    What does not fit is evicted from the caller with the most, its least recently used response first, so that no
    caller can drive out the responses of others. Callers are told apart by name here: keys of their own do not give
    them more room.
    """

    def __init__(
        self, settings: ResponseCacheSettings, metrics: ResponseCacheMetrics, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._owners: dict[str, _Owner] = {}
        self._by_conversation: dict[str, dict[bytes, CacheKey]] = {}
        self._count = 0
        self._size = 0

    @property
    def entries(self) -> int:
        """Number of responses."""
        return self._count

    @property
    def size(self) -> int:
        """Estimated bytes of the responses."""
        return self._size

    def reconfigure(self, settings: ResponseCacheSettings) -> None:
        """Change the limits, and evict what exceeds them: everything if responses are kept elsewhere from now on."""
        self._settings = settings
        if settings.store != "memory":
            self._owners, self._by_conversation, self._count, self._size = {}, {}, 0, 0
        self._evict_excess()

    async def find(self, key: CacheKey) -> CachedResponse | None:
        """Return the response of a key."""
        owner = self._owners.get(key.owner.name)
        entry = None if owner is None else owner.entries.get(key.digest)
        if owner is None or entry is None:
            return None
        if self._is_expired(entry):
            self._remove(key)
            return None
        owner.entries.move_to_end(key.digest)
        return entry.response

    def put(self, key: CacheKey, response: CachedResponse) -> None:
        """Store a response, unless it alone exceeds the size limit."""
        self._remove(key)
        size = estimate_bytes(response.result)
        if size > self._settings.max_bytes or self._settings.store != "memory":
            return
        owner = self._owners.setdefault(key.owner.name, _Owner())
        owner.entries[key.digest] = _Entry(key, response, size)
        owner.size += size
        self._size += size
        self._count += 1
        if response.conversation_id:
            self._by_conversation.setdefault(response.conversation_id, {})[key.digest] = key
        self._metrics.stores.inc()
        self._evict_excess()

    async def forget(self, conversation_id: str) -> None:
        """Drop the responses that were generated in a conversation."""
        for key in tuple(self._by_conversation.get(conversation_id, {}).values()):
            self._remove(key)

    async def delete_expired(self) -> None:
        """Delete what has expired."""
        entries = [entry for owner in self._owners.values() for entry in owner.entries.values()]
        for number, entry in enumerate(entries, 1):
            if self._is_expired(entry) and self._find(entry.key) is entry:
                self._remove(entry.key)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Do nothing: everything is stored at once."""

    def _is_expired(self, entry: _Entry) -> bool:
        return entry.response.generated_at + self._settings.ttl_seconds <= self._now()

    def _evict_excess(self) -> None:
        settings = self._settings
        while (by_bytes := self._size > settings.max_bytes) or self._count > settings.max_entries:
            largest = max(self._owners.values(), key=_owner_size if by_bytes else _owner_count)
            self._remove(next(iter(largest.entries.values())).key)
            self._metrics.evictions.inc()

    def _find(self, key: CacheKey) -> _Entry | None:
        owner = self._owners.get(key.owner.name)
        return None if owner is None else owner.entries.get(key.digest)

    def _remove(self, key: CacheKey) -> None:
        entry = self._find(key)
        if entry is None:
            return
        owner = self._owners[key.owner.name]
        del owner.entries[key.digest]
        owner.size -= entry.size
        self._size -= entry.size
        self._count -= 1
        if not owner.entries:
            del self._owners[key.owner.name]
        conversation_id = entry.response.conversation_id
        if conversation_id:
            of_conversation = self._by_conversation[conversation_id]
            del of_conversation[key.digest]
            if not of_conversation:
                del self._by_conversation[conversation_id]


def _owner_size(owner: _Owner) -> int:
    return owner.size


def _owner_count(owner: _Owner) -> int:
    return len(owner.entries)
