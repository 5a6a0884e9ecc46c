"""The protocol of a store of responses for equal requests, which every implementation fulfils."""

from __future__ import annotations

from typing import Protocol

from ..config.response_cache import ResponseCacheSettings
from ..core.response import GenerateResult
from ..core.value import dataclass
from .cache_key import CacheKey


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A complete response, and the Unix time of its end. `conversation_id` is that of the call that generated it."""

    result: GenerateResult
    generated_at: float
    conversation_id: str = ""


class ResponseStore(Protocol):
    """Keeps responses by key, for a limited time and in limited space, each for its owner only."""

    @property
    def entries(self) -> int:
        """Number of responses in memory."""
        ...

    @property
    def size(self) -> int:
        """Estimated bytes of the responses in memory."""
        ...

    def reconfigure(self, settings: ResponseCacheSettings) -> None:
        """Change the limits; they apply to what is stored already."""
        ...

    async def find(self, key: CacheKey) -> CachedResponse | None:
        """Return the response of a key, None without one. Raises StorageUnavailable."""
        ...

    def put(self, key: CacheKey, response: CachedResponse) -> None:
        """Store a response, now or in the background, unless it is too large. `find` returns it from now on.

        A failure is counted and logged.
        """
        ...

    async def forget(self, conversation_id: str) -> None:
        """Drop the responses that were generated in a conversation. Raises StorageUnavailable."""
        ...

    async def delete_expired(self) -> None:
        """Delete what has expired or exceeds the limits. Raises StorageUnavailable."""
        ...

    async def aclose(self) -> None:
        """Wait for what is being stored."""
        ...
