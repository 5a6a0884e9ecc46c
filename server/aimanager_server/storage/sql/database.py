"""One SQL database: connections, transactions, and errors that name the database without its password."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ...config.storage import StorageSettings
from ...core.errors import StorageUnavailable
from ...telemetry.logger import get_logger
from ...telemetry.redaction import redact
from ..encryption import UnreadableValue

SQLITE_BUSY_SECONDS = 5.0
CONNECT_SECONDS = 5.0


class Database:
    """The connections to one database."""

    def __init__(self, settings: StorageSettings) -> None:
        self.url = make_url(settings.plain_url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._is_aborted = False
        self._connections: WeakSet[Any] = WeakSet()
        # Of transactions that wait for a connection of the pool, or for a new one.
        self._connecting: set[asyncio.Timeout] = set()
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql(settings)

    @property
    def name(self) -> str:
        """Return the URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads. Raises StorageUnavailable."""
        async with self._transaction(is_reading=True) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, *, is_durable: bool = True) -> AsyncIterator[AsyncConnection]:
        """Open a transaction, which is committed at the end and rolled back after an error.

        Without `is_durable`, SQLite does not wait for the disk: the transaction is lost if the machine loses power
        shortly after, but not if the server is killed.
        """
        async with self._transaction(is_durable=is_durable) as connection:
            yield connection

    async def aclose(self) -> None:
        """Close all connections, each when PostgreSQL has confirmed it or a statement would time out."""
        await self.engine.dispose()

    def abort(self) -> None:
        """Close all connections to PostgreSQL without waiting for it; what uses one raises StorageUnavailable."""
        self._is_aborted = True
        for connection in list(self._connections):
            connection.terminate()
        now = asyncio.get_running_loop().time()
        for timeout in self._connecting:
            timeout.reschedule(now)

    @asynccontextmanager
    async def _transaction(
        self, *, is_reading: bool = False, is_durable: bool = True
    ) -> AsyncIterator[AsyncConnection]:
        try:
            connection = await self._acquire()
            try:
                if self.is_sqlite and connection.sync_connection is not None:
                    driver: Any = connection.sync_connection.connection.driver_connection
                    driver.begin(is_reading=is_reading, is_durable=is_durable)
                yield connection
                await connection.commit()
            finally:
                await connection.close()  # which rolls back what was not committed
        except (SQLAlchemyError, sqlite3.Error, UnreadableValue, OSError, TimeoutError) as error:
            # The rollback of a connection that was closed by a cancellation fails, which would hide the cancellation:
            # a task that tries again after a failure would never end, nor would the server that waits for it.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from error
            raise unavailable(error) from error

    async def _acquire(self) -> AsyncConnection:
        if self._is_aborted:
            raise ConnectionAbortedError("The database is closed.")
        async with asyncio.timeout(None) as timeout:
            self._connecting.add(timeout)
            try:
                return await self.engine.connect()
            finally:
                self._connecting.discard(timeout)

    def _sqlite(self) -> AsyncEngine:
        from .sqlite_connection import SqliteConnection

        engine = create_async_engine(
            self.url,
            connect_args={"async_creator_fn": SqliteConnection, "timeout": SQLITE_BUSY_SECONDS},
            pool_size=4,
            max_overflow=0,
            pool_timeout=10,
            pool_reset_on_return=None,  # every transaction ends with a commit or a rollback
            hide_parameters=True,
        )

        @event.listens_for(engine.sync_engine, "connect")
        def on_connect(connection: Any, record: object) -> None:
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "foreign_keys=ON", "secure_delete=ON"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        return engine

    def _postgresql(self, settings: StorageSettings) -> AsyncEngine:
        arguments = {
            "async_creator_fn": self._connect, "timeout": CONNECT_SECONDS,
            "command_timeout": settings.statement_timeout_seconds,
        }  # fmt: skip
        return create_async_engine(
            self.url, pool_size=settings.max_connections, max_overflow=0, pool_timeout=10, pool_pre_ping=True,
            pool_reset_on_return=None, hide_parameters=True, connect_args=arguments,
        )  # fmt: skip

    async def _connect(self, *arguments: Any, **options: Any) -> Any:
        """Return a new connection of the driver, which `abort` can close."""
        import asyncpg

        connection = await asyncpg.connect(*arguments, **options)
        self._connections.add(connection)
        return connection


def unavailable(error: BaseException) -> StorageUnavailable:
    """Return the error of a caller; the cause, which may name hosts and columns, is only logged."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    get_logger().error("storage.failed", error=f"{type(cause).__name__}: {redact(str(cause))}"[:500])
    return StorageUnavailable("The database of conversations cannot be used at the moment.")
