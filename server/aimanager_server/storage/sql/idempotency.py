"""Results by idempotency key in SQL: they outlive the server, and calls wait for those of other servers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ...config.resilience import IdempotencySettings
from ...core.errors import DeadlineExceeded, GatewayError
from ...core.request import Call
from ...telemetry.logger import get_logger
from ..encryption import Cipher
from ..idempotency import Result, conversation_of, key_reused, wait_for_first
from ..response_codec import decode_result, encode_result
from .database import Database
from .encrypted_columns import response_context
from .rows import microseconds
from .tables import idempotency as table

LEASE_SECONDS = 30.0
"""How long the calls of a server that was killed keep their keys."""
RENEWAL_SECONDS = 10.0
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 1.0
NO_CLAIM = b""


FIND = select(table).where(table.c.key == bindparam("with_key"))
FIND_STORED = FIND.where(table.c.expires_at > bindparam("now"))
STORE_CLAIMED = update(table).where(table.c.key == bindparam("with_key"), table.c.claim == bindparam("with_claim"))
"""Statements that are built once: building one takes longer than SQLite needs to run it."""


class SqlIdempotency:
    """Keeps results in SQLite or PostgreSQL. Fulfils IdempotencyStore.

    A key that is used again for another request is rejected, also if only the configuration has changed since: a
    stored row does not tell which. Claims are stored in PostgreSQL only, where other servers look for them, and those
    of this server are renewed together: one server alone uses a SQLite file, and its claims end with it.
    """

    def __init__(
        self, database: Database, cipher: Cipher, settings: IdempotencySettings, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._cipher = cipher
        self._settings = settings
        self._now = now
        self._server = secrets.token_bytes(16)
        self._in_flight: dict[bytes, asyncio.Event] = {}
        self._stored: set[bytes] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewal: asyncio.Task[None] | None = None
        self._shares_claims = not database.is_sqlite
        insert: Any = (sqlite if database.is_sqlite else postgresql).insert(table)
        changes = {column.name: insert.excluded[column.name] for column in table.c if column is not table.c.key}
        self._store = insert.on_conflict_do_update(index_elements=[table.c.key], set_=changes)
        self._claim_key = insert.on_conflict_do_update(
            index_elements=[table.c.key], set_=changes, where=_is_expired(bindparam("now"))
        ).returning(table.c.key)

    @property
    def entries(self) -> int:
        """Number of calls in flight that claimed a key."""
        return len(self._in_flight)

    @property
    def size(self) -> int:
        """Bytes of results in memory: the database has them."""
        return 0

    def reconfigure(self, settings: IdempotencySettings) -> None:
        """Change how long results are kept, and their maximum size."""
        self._settings = settings

    async def claim(self, key: bytes, fingerprint: bytes, call: Call) -> Result | None:
        """Return the stored result of the key, or None if the caller must call and then `release` it."""
        while (first := self._in_flight.get(key)) is not None:
            await wait_for_first(first, call)
        ended = self._in_flight[key] = asyncio.Event()
        try:
            stored = await self._claim(key, fingerprint, call)
        except BaseException:
            self._end(key, ended)
            raise
        if stored is not None:
            self._end(key, ended)
        elif self._shares_claims and self._renewal is None:
            self._renewal = asyncio.ensure_future(self._renew())
        return stored

    async def put(self, key: bytes, fingerprint: bytes, result: Result) -> None:
        """Store the result of a claimed key, unless it exceeds the size limit."""
        data = await encode_result(result)
        if len(data) > self._settings.max_bytes:
            return
        cipher, encrypted = self._cipher.encrypt(data, response_context(key))
        expires_at = microseconds(self._now() + self._settings.ttl_seconds)
        values = {
            "response": encrypted, "cipher": cipher, "claim": NO_CLAIM, "expires_at": expires_at,
            "conversation_id": conversation_of(result),
        }  # fmt: skip
        if self._shares_claims:
            statement: Any = STORE_CLAIMED
            values |= {"with_key": key, "with_claim": self._server}
        else:
            statement = self._store
            values |= {"key": key, "fingerprint": fingerprint, "claimed_until": 0}
        async with self._database.writing(is_durable=False) as connection:
            await connection.execute(statement, values)
        self._stored.add(key)
        self._end(key, self._in_flight[key])

    def release(self, key: bytes) -> None:
        """Let calls with the same key proceed once the claim is removed, in the background, if no result is stored."""
        if key in self._stored:
            self._stored.discard(key)
            return
        ended = self._in_flight[key]
        if not self._shares_claims:
            self._end(key, ended)
            return
        task = asyncio.ensure_future(self._release(key, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def forget(self, conversation_id: str) -> None:
        """Drop the results that were added to a conversation."""
        async with self._database.writing() as connection:
            await connection.execute(delete(table).where(table.c.conversation_id == conversation_id))

    async def delete_expired(self) -> None:
        """Delete what has expired."""
        await self._delete(_is_expired(microseconds(self._now())))

    async def aclose(self) -> None:
        """Wait until every claim is removed."""
        if self._renewal is not None:
            self._renewal.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _claim(self, key: bytes, fingerprint: bytes, call: Call) -> Result | None:
        delay = MIN_POLL_SECONDS
        while True:
            is_claimed, row = await (self._try_claim if self._shares_claims else self._find)(key, fingerprint)
            if is_claimed:
                return None
            if row is None:
                continue  # it was released at this moment
            if row.fingerprint != fingerprint:
                raise key_reused(call.idempotency_key)
            if row.response is not None:
                return decode_result(self._cipher.decrypt(row.cipher, row.response, response_context(key)))
            # Another server has the key: no event tells when its call ends.
            try:
                async with asyncio.timeout_at(call.deadline):
                    await asyncio.sleep(delay)
            except TimeoutError as error:
                message = "Deadline exceeded while waiting for the first call with this idempotency key."
                raise DeadlineExceeded(message) from error
            delay = min(MAX_POLL_SECONDS, delay * 2)

    async def _find(self, key: bytes, fingerprint: bytes) -> tuple[bool, Any]:
        """Return whether nothing is stored for the key, and the row of what is stored."""
        parameters = {"with_key": key, "now": microseconds(self._now())}
        async with self._database.reading() as connection:
            row = (await connection.execute(FIND_STORED, parameters)).one_or_none()
        return row is None, row

    async def _try_claim(self, key: bytes, fingerprint: bytes) -> tuple[bool, Any]:
        """Return whether the key is claimed now, and otherwise the row of the call that has or had it."""
        now = microseconds(self._now())
        values = {
            "key": key, "fingerprint": fingerprint, "conversation_id": "", "claim": self._server,
            "claimed_until": now + microseconds(LEASE_SECONDS), "response": None, "cipher": "",
            "expires_at": 0, "now": now,
        }  # fmt: skip
        async with self._database.writing(is_durable=False) as connection:
            if (await connection.execute(self._claim_key, values)).one_or_none() is not None:
                return True, None
            return False, (await connection.execute(FIND, {"with_key": key})).one_or_none()

    async def _release(self, key: bytes, ended: asyncio.Event) -> None:
        is_unused = (table.c.key == key) & (table.c.claim == self._server) & table.c.response.is_(None)
        await self._in_background(self._delete(is_unused))
        self._end(key, ended)

    async def _delete(self, condition: Any) -> None:
        async with self._database.writing(is_durable=False) as connection:
            await connection.execute(delete(table).where(condition))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            if self._in_flight:
                await self._in_background(self._extend())

    async def _extend(self) -> None:
        until = microseconds(self._now() + LEASE_SECONDS)
        async with self._database.writing(is_durable=False) as connection:
            await connection.execute(update(table).where(table.c.claim == self._server).values(claimed_until=until))

    async def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Await work that nobody waits for. Without the database, claims expire by themselves."""
        try:
            await work
        except GatewayError as error:
            get_logger().warning("idempotency.claim_lost", reason=error.reason)

    def _end(self, key: bytes, ended: asyncio.Event) -> None:
        if self._in_flight.get(key) is ended:
            del self._in_flight[key]
        ended.set()


def _is_expired(now: Any) -> ColumnElement[bool]:
    """Return the condition of a stored result that is too old, or of a claim whose server was killed."""
    is_old = table.c.response.is_not(None) & (table.c.expires_at <= now)
    return or_(is_old, table.c.response.is_(None) & (table.c.claimed_until <= now))
