"""Keeps responses by idempotency key, bounded in entries, bytes and age."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ..config.resilience import IdempotencySettings
from ..core.content import Attachment, Reasoning, Text, ToolCall
from ..core.handler import Clock
from ..core.response import GenerateResult

OVERHEAD_BYTES = 1024
"""Estimated size of an entry without its content."""
BYTES_PER_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: int
    result: GenerateResult
    size: int
    expires_at: float


class IdempotencyStore:
    """Store complete responses in memory, evicting the least recently used first."""

    def __init__(self, settings: IdempotencySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._size = 0

    def get(self, key: bytes) -> tuple[int, GenerateResult] | None:
        """Return the fingerprint of the request and its response, None if absent or expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= self._clock():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.fingerprint, entry.result

    def put(self, key: bytes, fingerprint: int, result: GenerateResult) -> None:
        """Store a response, unless it alone exceeds the size limit."""
        self._remove(key)
        size = estimate_bytes(result)
        if size > self._settings.max_bytes:
            return
        self._entries[key] = _Entry(fingerprint, result, size, self._clock() + self._settings.ttl_seconds)
        self._size += size
        while self._size > self._settings.max_bytes or len(self._entries) > self._settings.max_entries:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry.size


def estimate_bytes(result: GenerateResult) -> int:
    """Return the approximate size of a response in memory, assuming the widest characters."""
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
