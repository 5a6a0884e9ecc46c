"""Results by idempotency key in memory, bounded in entries, bytes and age."""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field

from ..config.resilience import IdempotencySettings
from ..core.content import Attachment, Reasoning, Text, ToolCall
from ..core.embedding import EmbedResult
from ..core.handler import Clock
from ..core.request import Call
from .idempotency import Result, conversation_of, key_reused, wait_for_first

OVERHEAD_BYTES = 1024
"""Estimated size of an entry without its content."""
BYTES_PER_CHARACTER = 4
BYTES_PER_FLOAT = 32
"""Of a vector that is a list: a pointer and a float object."""


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: bytes
    result: Result
    size: int
    expires_at: float
    configuration: int
    conversation_id: str


@dataclass(frozen=True, slots=True)
class _FirstCall:
    """The call in flight that claimed a key. Calls with the same key wait until it ends."""

    configuration: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryIdempotency:
    """Keeps results in memory, evicting the least recently used first. Fulfils IdempotencyStore."""

    def __init__(self, settings: IdempotencySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._in_flight: dict[bytes, _FirstCall] = {}
        self._configuration = 0
        self._size = 0

    @property
    def entries(self) -> int:
        """Number of results, and of calls in flight that claimed a key."""
        return len(self._entries) + len(self._in_flight)

    @property
    def size(self) -> int:
        """Estimated bytes of the results."""
        return self._size

    def reconfigure(self, settings: IdempotencySettings) -> None:
        """Change the limits, and evict what exceeds them. Stored results keep their expiry.

        Call this for every change of the configuration: equal requests may have other targets and options from now on.
        """
        self._settings = settings
        self._configuration += 1
        self._evict_excess()

    async def claim(self, key: bytes, fingerprint: bytes, call: Call) -> Result | None:
        """Return the stored result of the key, after waiting for a first call in flight; None if this is the first.

        After None, the caller must `release` the key. Raises InvalidRequest if the key was used for another request,
        and DeadlineExceeded. After a change of the configuration, a request that has other targets now counts as the
        first.
        """
        while (first := self._in_flight.get(key)) is not None:
            await wait_for_first(first.ended, call)
        entry = self._entries.get(key)
        is_same = entry is not None and entry.fingerprint == fingerprint
        if entry is not None and (
            entry.expires_at <= self._clock() or (not is_same and entry.configuration != self._configuration)
        ):
            self._remove(key)
            entry = None
        if entry is None:
            self._in_flight[key] = _FirstCall(self._configuration)
            return None
        if not is_same:
            raise key_reused(call.idempotency_key)
        self._entries.move_to_end(key)
        return entry.result

    def release(self, key: bytes) -> None:
        """Let calls with the same key proceed."""
        self._in_flight.pop(key).ended.set()

    async def put(self, key: bytes, fingerprint: bytes, result: Result) -> None:
        """Store a result, unless it alone exceeds the size limit."""
        self._remove(key)
        size = estimate_bytes(result)
        if size > self._settings.max_bytes:
            return
        first = self._in_flight.get(key)
        configuration = self._configuration if first is None else first.configuration
        expires_at = self._clock() + self._settings.ttl_seconds
        self._entries[key] = _Entry(fingerprint, result, size, expires_at, configuration, conversation_of(result))
        self._size += size
        self._evict_excess()

    async def forget(self, conversation_id: str) -> None:
        """Drop the results that were added to a conversation."""
        if conversation_id:
            for key in [key for key, entry in self._entries.items() if entry.conversation_id == conversation_id]:
                self._remove(key)

    async def delete_expired(self) -> None:
        """Do nothing: what has expired is the first to be evicted, and never returned."""

    def _evict_excess(self) -> None:
        while self._size > self._settings.max_bytes or len(self._entries) > self._settings.max_entries:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size


def estimate_bytes(result: Result) -> int:
    """Return the approximate size of a result in memory, assuming the widest characters."""
    if isinstance(result, EmbedResult):
        return OVERHEAD_BYTES + sum(
            vector.itemsize * len(vector) if isinstance(vector, array) else BYTES_PER_FLOAT * len(vector)
            for vector in result.vectors
        )
    size = OVERHEAD_BYTES + BYTES_PER_CHARACTER * len(result.finished.structured_json)
    for part in result.message.parts:
        size += len(part.provider_state)
        match part:
            case Text() | Reasoning():
                size += BYTES_PER_CHARACTER * len(part.text)
            case ToolCall():
                size += BYTES_PER_CHARACTER * len(part.arguments_json)
            case Attachment():
                size += len(part.data or b"")
            case _:
                size += BYTES_PER_CHARACTER * len(part.output)
    for artifact in result.artifacts:
        size += BYTES_PER_CHARACTER * len(artifact.text or "") + len(artifact.data or b"")
    return size
