"""Settings of the response cache."""

from __future__ import annotations

from typing import Literal

from .types import MIB, PositiveInt, Seconds, Section


class ResponseCacheSettings(Section):
    """Responses kept for equal requests of the same caller."""

    store: Literal["memory", "storage", "off"] = "memory"
    """Where responses are kept: in memory, in the database of `storage.url`, or nowhere."""
    default_mode: Literal["off", "use"] = "off"
    """Whether calls without a `cache_policy` use stored responses."""
    max_entries: PositiveInt = 1_000
    """Responses kept. Of the caller with the most, the least recently used is evicted first; in a database the oldest
    one."""
    max_bytes: PositiveInt = 64 * MIB
    """Their total size."""
    ttl_seconds: Seconds = 3_600.0
    """How long a response is kept."""
    lookup_timeout_seconds: Seconds = 2.0
    """How long a call waits for a stored response in a database before it goes on without."""
