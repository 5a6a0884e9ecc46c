"""What a turn costs in SQL: with SQLite, each switch to the driver's thread costs more than most statements."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from aimanager_server.storage.encryption import NoEncryption
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from aimanager_server.storage.sql.database import Database
from tests.storage.stores import Clock, Stores, database, turn


@contextmanager
def statements(opened: Database) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that are sent, with their parameters."""
    sent: list[tuple[str, Any]] = []

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(opened.engine.sync_engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        event.remove(opened.engine.sync_engine, "before_cursor_execute", record)


async def test_a_turn_takes_four_statements_and_no_scan_of_a_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "aiosqlite")
    async with database(f"sqlite+aiosqlite:///{tmp_path}/store.db") as opened:
        attachments = SqlAttachments(opened, NoEncryption())
        stores = Stores(SqlConversations(opened, NoEncryption(), attachments, Clock()), attachments, Clock(), opened)
        started = await stores.start(turns=3, labels={"team": "a"})
        lease = await stores.conversations.acquire("alice", started.id, 3, 30.0)

        caplog.clear()
        with statements(opened) as sent:
            await stores.conversations.history("alice", started.id, 10**9)
            await stores.conversations.append(lease, turn(3))
        switches = [record for record in caplog.records if record.message.startswith("executing")]
        with statements(opened) as others:
            await stores.conversations.list("alice", 10)
            await stores.conversations.list("alice", 10, labels={"team": "a"})
            await stores.conversations.turns("alice", started.id, 1, 2, 10**9)
            await stores.conversations.delete_expired(10)

        plans = [await plan(opened, *one) for one in (*sent, *others)]

    assert len(sent) == 4
    assert len(switches) == 6  # each statement, and the end of each transaction
    assert [steps for steps in plans if any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in steps)] == []


async def plan(opened: Database, statement: str, parameters: Any) -> list[str]:
    """Return the steps of SQLite's plan of a statement."""
    async with opened.reading() as connection:
        explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return [row.detail for row in explained]
