"""The data of attachments and binary artifacts, stored apart from the turns, once for each owner and digest."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from ..core.content import Artifact, Message, attachments_of
from ..core.conversation import Turn

Item = TypeVar("Item")

SLICE_BYTES = 1024 * 1024
"""Bytes hashed before other tasks may run: one to three milliseconds of work."""


class Blobs:
    """Data of attachments and binary artifacts by its SHA-256 digest, in hexadecimal."""

    def __init__(self) -> None:
        self.by_digest: dict[str, bytes] = {}
        self._digests: dict[int, str] = {}

    @classmethod
    async def of(cls, turn: Turn) -> Blobs:
        """Return the data of a turn. Other tasks may run between slices of a large one."""
        return await cls.of_content(turn.messages, turn.artifacts)

    @classmethod
    async def of_content(cls, messages: Sequence[Message], artifacts: Sequence[Artifact]) -> Blobs:
        """Return the data of messages and artifacts."""
        blobs = cls()
        attachments = (one.data for _, one in attachments_of(messages))
        for data in (*attachments, *(artifact.data for artifact in artifacts)):
            if data is not None and id(data) not in blobs._digests:
                digest = await _digest(data)
                blobs._digests[id(data)] = digest
                blobs.by_digest[digest] = data
        return blobs

    def digest(self, data: bytes) -> str:
        """Return the digest of data of the turn."""
        return self._digests[id(data)]


async def _digest(data: bytes) -> str:
    digest = hashlib.sha256()
    view = memoryview(data)
    for start in range(0, len(data), SLICE_BYTES):
        if start:
            await asyncio.sleep(0)
        digest.update(view[start : start + SLICE_BYTES])
    return digest.hexdigest()


async def in_slices(items: Iterable[Item], size: Callable[[Item], int]) -> AsyncIterator[Item]:
    """Yield the items; other tasks may run whenever they have had SLICE_BYTES together."""
    done = 0
    for item in items:
        yield item
        done += size(item)
        if done >= SLICE_BYTES:
            done = 0
            await asyncio.sleep(0)
