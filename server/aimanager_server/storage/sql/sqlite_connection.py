"""A connection to SQLite with few switches to the driver's thread and back, which cost more than most statements.

aiosqlite switches for a cursor, a statement, its rows and the end of the cursor. Here all of that is one switch, with
the beginning of the transaction before the first statement; the end of a transaction that only read is not awaited.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite


class SqliteConnection(aiosqlite.Connection):
    """A connection whose transactions begin with their first statement."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Without transactions of the driver's own, which it would begin only before the first write.
        super().__init__(partial(sqlite3.connect, *arguments, isolation_level=None, **options), iter_chunk_size=1)
        self._thread.daemon = True  # a program that ends without closing the store does not wait for it
        self._begin: Sequence[str] = ()
        self._is_reading = False

    def begin(self, *, is_reading: bool, is_durable: bool) -> None:
        """Begin a transaction with the next statement. One that writes keeps others from writing at once.

        A transaction that reads before it writes would fail if another one wrote in between.
        """
        self._is_reading = is_reading
        synchronous = f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}"
        self._begin = ("BEGIN",) if is_reading else (synchronous, "BEGIN IMMEDIATE")

    def cursor(self) -> Any:
        """Return a cursor, without a switch."""
        return _Cursor(self)

    async def commit(self) -> None:
        """Commit the transaction."""
        if self._begin:
            self._begin = ()
        elif self._is_reading:
            self._tx.put_nowait((None, self._conn.commit))
        else:
            await super().commit()

    async def rollback(self) -> None:
        """Roll the transaction back."""
        if self._begin:
            self._begin = ()
        else:
            await super().rollback()

    async def run(self, statement: Callable[[sqlite3.Connection], sqlite3.Cursor], rows: list[Any]) -> sqlite3.Cursor:
        """Execute a statement in the driver's thread, and append what it returns to `rows`."""
        begin, self._begin = self._begin, ()
        execute: Callable[..., Awaitable[sqlite3.Cursor]] = self._execute
        return await execute(_run, self._conn, begin, statement, rows)


def _run(
    connection: sqlite3.Connection,
    begin: Sequence[str],
    statement: Callable[[sqlite3.Connection], sqlite3.Cursor],
    rows: list[Any],
) -> sqlite3.Cursor:
    for one in begin:
        connection.execute(one)
    cursor = statement(connection)
    if cursor.description is not None:
        rows.extend(cursor.fetchall())
    return cursor


class _Cursor:
    """What SQLAlchemy needs of aiosqlite's cursor."""

    arraysize = 1
    description: Any = None
    rowcount = -1
    lastrowid: int | None = None

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._rows: list[Any] = []

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Self:
        """Execute a statement and read all its rows."""
        return await self._run(lambda connection: connection.execute(sql, parameters))

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Self:
        """Execute a statement with each of the parameters."""
        return await self._run(lambda connection: connection.executemany(sql, parameters))

    async def fetchall(self) -> Sequence[Any]:
        """Return the rows that were read."""
        return self._rows

    async def close(self) -> None:
        """Do nothing: the cursor has no rows left."""

    async def _run(self, statement: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> Self:
        self._rows = []
        done = await self._connection.run(statement, self._rows)
        self.description, self.rowcount, self.lastrowid = done.description, done.rowcount, done.lastrowid
        return self
