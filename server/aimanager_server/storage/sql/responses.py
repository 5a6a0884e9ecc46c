"""Responses for equal requests in SQL: servers share them, and they outlive a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ...config.response_cache import ResponseCacheSettings
from ...core.errors import StorageUnavailable
from ...core.response import GenerateResult
from ...telemetry.logger import get_logger
from ...telemetry.response_cache_metrics import ResponseCacheMetrics
from ..cache_key import CacheKey
from ..encryption import Cipher, UnreadableValue
from ..memory_idempotency import estimate_bytes
from ..response_cache import CachedResponse
from ..response_codec import decode_result, encode_result
from .database import Database
from .encrypted_columns import response_context
from .rows import MICROSECONDS, microseconds
from .tables import conversations
from .tables import responses as table

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
"""Estimated size of a response that is stored: reading a larger one would keep other calls waiting."""
MAX_PENDING_BYTES = 32 * 1024 * 1024
"""Responses that wait to be written. More are not stored."""
MAX_BATCH = 50
"""Responses written in one transaction."""


@dataclass(frozen=True, slots=True)
class _Pending:
    key: CacheKey
    response: CachedResponse
    size: int


class SqlResponses:
    """Keeps responses in SQLite or PostgreSQL. Fulfils ResponseStore.

    One task writes them in the background, several in a transaction. What exceeds the limits is deleted every so many
    writes: the oldest of the caller with the most, since recording each use would make every hit a write.
    """

    def __init__(
        self,
        database: Database,
        cipher: Cipher,
        settings: ResponseCacheSettings,
        metrics: ResponseCacheMetrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._pending: dict[bytes, _Pending] = {}
        self._pending_size = 0
        self._writer: asyncio.Task[None] | None = None
        self._reads: set[asyncio.Task[Any]] = set()
        self._writes_since_eviction = 0
        dialect: Any = sqlite if database.is_sqlite else postgresql
        insert = dialect.insert(table)
        changed = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
        self._upsert = insert.on_conflict_do_update(index_elements=[table.c.key], set_=changed)

    @property
    def entries(self) -> int:
        """Number of responses that wait to be written."""
        return len(self._pending)

    @property
    def size(self) -> int:
        """Estimated bytes of the responses that wait to be written."""
        return self._pending_size

    def reconfigure(self, settings: ResponseCacheSettings) -> None:
        """Change the limits."""
        self._settings = settings

    async def find(self, key: CacheKey) -> CachedResponse | None:
        """Return the response of a key. Raises StorageUnavailable, also if the database takes too long."""
        pending = self._pending.get(key.digest)
        if pending is not None:
            return pending.response
        # Not cancelled after the timeout: a driver that is interrupted within a statement gives up its connection.
        read = asyncio.ensure_future(self._read(key))
        self._reads.add(read)
        read.add_done_callback(self._end_read)
        timeout = self._settings.lookup_timeout_seconds
        done, _ = await asyncio.wait({read}, timeout=timeout)
        if not done:
            raise StorageUnavailable(f"The database took longer than {timeout:g} s.")
        row = read.result()
        if row is None or row.generated_at <= self._oldest():
            return None
        result = self._decode(row)
        if result is None:
            return None
        return CachedResponse(result, row.generated_at / MICROSECONDS, row.conversation_id)

    def put(self, key: CacheKey, response: CachedResponse) -> None:
        """Store a response in the background, unless it or those that wait already are too large."""
        size = estimate_bytes(response.result)
        self._drop_pending(self._pending.get(key.digest))
        if size > min(MAX_RESPONSE_BYTES, self._settings.max_bytes):
            return
        if self._pending_size + size > MAX_PENDING_BYTES:
            self._metrics.failed_writes.inc()
            return
        self._pending[key.digest] = _Pending(key, response, size)
        self._pending_size += size
        if self._writer is None:
            self._writer = asyncio.ensure_future(self._write_pending())

    async def forget(self, conversation_id: str) -> None:
        """Drop the responses that were generated in a conversation, which no longer exists."""
        for pending in [one for one in self._pending.values() if one.response.conversation_id == conversation_id]:
            self._drop_pending(pending)
        async with self._database.writing() as connection:
            await connection.execute(delete(table).where(table.c.conversation_id == conversation_id))

    async def delete_expired(self) -> None:
        """Delete what has expired or exceeds the limits."""
        async with self._database.writing(is_durable=False) as connection:
            await connection.execute(delete(table).where(table.c.generated_at <= self._oldest()))
            await self._evict(connection)

    async def aclose(self) -> None:
        """Wait for what is being written, and read."""
        if tasks := {*self._reads, *([self._writer] if self._writer else [])}:
            await asyncio.wait(tasks)

    async def _read(self, key: CacheKey) -> Any:
        query = select(table).where(table.c.key == key.digest, table.c.owner == key.owner.name)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).one_or_none()

    def _end_read(self, read: asyncio.Task[Any]) -> None:
        self._reads.discard(read)
        if not read.cancelled():
            read.exception()  # nobody may be waiting for it any more

    def _oldest(self) -> int:
        """Return the time, as stored, up to which responses have expired."""
        return microseconds(self._now() - self._settings.ttl_seconds)

    def _decode(self, row: Any) -> GenerateResult | None:
        """Return the result of a row, None for one that cannot be read: it will be written again."""
        try:
            result = decode_result(self._cipher.decrypt(row.cipher, row.response, response_context(row.key)))
        except (UnreadableValue, ValueError, LookupError, TypeError) as error:
            self._metrics.failed_reads.inc()
            get_logger().warning("response_cache.failed", operation="read", error=type(error).__name__)
            return None
        return result if isinstance(result, GenerateResult) else None

    async def _write_pending(self) -> None:
        try:
            while self._pending:
                batch = list(self._pending.values())[:MAX_BATCH]
                await self._write(batch)
                for pending in batch:
                    self._drop_pending(pending)
        except Exception as error:
            # Nothing waits for the database to come back: responses are worth less than the room they would take.
            self._metrics.failed_writes.inc(len(self._pending))
            get_logger().warning("response_cache.failed", operation="write", error=type(error).__name__)
            self._pending, self._pending_size = {}, 0
        finally:
            self._writer = None

    async def _write(self, batch: Sequence[_Pending]) -> None:
        # In one order: two servers that write the same keys at once would otherwise wait for each other.
        rows = [await self._row(pending) for pending in sorted(batch, key=lambda pending: pending.key.digest)]
        async with self._database.writing(is_durable=False) as connection:
            existing = await _existing(connection, {row["conversation_id"] for row in rows} - {""})
            rows = [row for row in rows if row["conversation_id"] in existing]
            if not rows:
                return
            await connection.execute(self._upsert, rows)
            self._writes_since_eviction += len(rows)
            if self._writes_since_eviction >= max(MAX_BATCH, self._settings.max_entries // 10):
                self._writes_since_eviction = 0
                await self._evict(connection)
        self._metrics.stores.inc(len(rows))

    async def _row(self, pending: _Pending) -> dict[str, Any]:
        key, response = pending.key, pending.response
        data = await encode_result(response.result)
        cipher, encrypted = self._cipher.encrypt(data, response_context(key.digest))
        return {
            "key": key.digest, "owner": key.owner.name, "conversation_id": response.conversation_id,
            "response": encrypted, "cipher": cipher, "size": len(encrypted),
            "generated_at": microseconds(response.generated_at),
        }  # fmt: skip

    def _drop_pending(self, pending: _Pending | None) -> None:
        """Forget that a response waits, unless another one has taken its place."""
        if pending is not None and self._pending.get(pending.key.digest) is pending:
            del self._pending[pending.key.digest]
            self._pending_size -= pending.size

    async def _evict(self, connection: AsyncConnection) -> None:
        query = select(table.c.owner, func.count(), func.sum(table.c.size)).group_by(table.c.owner)
        stored = (await connection.execute(query)).all()
        most_entries = fair_share({owner: count for owner, count, _ in stored}, self._settings.max_entries)
        most_bytes = fair_share({owner: int(size) for owner, _, size in stored}, self._settings.max_bytes)
        for owner, count, size in stored:
            if count > most_entries or size > most_bytes:
                await self._evict_of(connection, owner, most_entries, most_bytes)

    async def _evict_of(self, connection: AsyncConnection, owner: str, most_entries: int, most_bytes: int) -> None:
        query = select(table.c.key, table.c.size).where(table.c.owner == owner).order_by(table.c.generated_at.desc())
        entries = size = 0
        evicted: list[bytes] = []
        for row in await connection.execute(query):
            entries, size = entries + 1, size + row.size
            if entries > most_entries or size > most_bytes:
                evicted.append(row.key)
        for start in range(0, len(evicted), MAX_BATCH):
            await connection.execute(delete(table).where(table.c.key.in_(evicted[start : start + MAX_BATCH])))
        self._metrics.evictions.inc(len(evicted))


def fair_share(amounts: Mapping[str, int], limit: int) -> int:
    """Return the most that each may keep so that all together are within the limit: those with less keep everything.

    >>> fair_share({"a": 10, "b": 2, "c": 9}, 14), fair_share({"a": 1, "b": 2}, 14)
    (6, 14)
    """
    remaining = limit
    ordered = sorted(amounts.values())
    for index, amount in enumerate(ordered):
        share = remaining // (len(ordered) - index)
        if amount > share:
            return share
        remaining -= amount
    return limit


async def _existing(connection: AsyncConnection, conversation_ids: set[str]) -> set[str]:
    """Return those of the conversations that have not been deleted, and the empty id."""
    if not conversation_ids:
        return {""}
    query = select(conversations.c.id).where(conversations.c.id.in_(conversation_ids))
    return {"", *(await connection.execute(query)).scalars()}
