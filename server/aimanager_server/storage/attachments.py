"""The protocol of an attachment store, which every implementation fulfils."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from ..core.value import dataclass


@dataclass(frozen=True, slots=True)
class StoredAttachments:
    """How many attachments an owner has stored, and their size."""

    count: int
    size: int


class AttachmentStore(Protocol):
    """Reads the attachments of conversations: one copy for each owner and content, as long as a turn refers to it.

    The conversation store writes and deletes them, in the transactions of the turns.
    """

    async def read(self, owner: str, digests: Collection[str]) -> Mapping[str, bytes]:
        """Return those of the attachments that the owner has, by digest. Raises StorageUnavailable."""
        ...

    async def stored(self, owner: str) -> StoredAttachments:
        """Return how much an owner has stored. Raises StorageUnavailable."""
        ...
