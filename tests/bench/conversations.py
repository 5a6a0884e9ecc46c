"""Measure the SQLite store: a turn beside two bare transactions, and a full store beside an empty one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import event, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from aimanager_server.config.resilience import IdempotencySettings
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.storage.conversations import Lease
from aimanager_server.storage.encryption import NoEncryption
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from aimanager_server.storage.sql.database import Database
from aimanager_server.storage.sql.idempotency import SqlIdempotency
from aimanager_server.storage.sql.tables import conversations, turns
from tests.storage.stores import COST, USAGE, Clock, conversation, database, turn
from tests.support.calls import make_call

from .figures import ECHO, GATEWAY, Figure

TURNS = 50
STEPS = 40
"""Measured steps of a round, each with a conversation of its own."""

OWNERS = 10
FULL = 10_000
"""Conversations of the full store, with a hundred messages each: a million."""

ANSWER = GenerateResult(
    ResponseMetadata("id", "mock-large", "mock", "mock-large"),
    Message(Role.ASSISTANT, (Text("The answer."),), "mock", "mock-large"),
    Finished(FinishReason.STOP, "stop", USAGE, COST, 1.0),
)

Step = Callable[[], Awaitable[object]]


async def conversation_parts(parts: Collection[str], rounds: int) -> list[Figure]:
    """Run those of the parts that measure the store."""
    figures = await conversation_cpu(rounds) + await idempotency_cpu(rounds) if "conversations" in parts else []
    return figures + (await full_store(rounds) if "full_store" in parts else [])


async def conversation_cpu(rounds: int) -> list[Figure]:
    """Measure the CPU time of appending a turn and loading 50; the floor is two bare transactions."""
    samples: dict[str, list[float]] = {GATEWAY: [], ECHO: []}
    async with _store() as (opened, store), _bare(opened) as engine:
        for number in range(rounds + 1):
            pairs = []
            for _ in range(STEPS):
                started = await store.create(conversation(), [turn(number) for number in range(TURNS)])
                lease = await store.acquire("alice", started.id, TURNS, 30.0)

                bare = await _cpu_ms(partial(_two_transactions, engine, started.id))
                pairs.append((bare, await _cpu_ms(partial(_load_and_append, store, lease))))
            if number:
                samples[ECHO].append(median(bare for bare, _ in pairs))
                samples[GATEWAY].append(median(own for _, own in pairs))
    return [Figure("conversation_turn_cpu_ms", "ms", samples)]


async def idempotency_cpu(rounds: int) -> list[Figure]:
    """Measure the CPU time of claiming a key and storing its response; the floor is two bare transactions."""
    samples: dict[str, list[float]] = {GATEWAY: [], ECHO: []}
    async with _store() as (opened, store), _bare(opened) as engine:
        started = await store.create(conversation())
        responses = SqlIdempotency(opened, NoEncryption(), IdempotencySettings(), Clock())
        for number in range(rounds + 1):
            keys = [f"{number}-{step}".encode() for step in range(STEPS)]
            pairs = [
                (
                    await _cpu_ms(partial(_two_transactions, engine, started.id)),
                    await _cpu_ms(partial(_claim_and_store, responses, key)),
                )
                for key in keys
            ]
            if number:
                samples[ECHO].append(median(bare for bare, _ in pairs))
                samples[GATEWAY].append(median(own for _, own in pairs))
    return [Figure("idempotency_key_cpu_ms", "ms", samples)]


async def full_store(rounds: int) -> list[Figure]:
    """Measure a page of conversations and 50 turns of one, with a million messages; the floor is an empty store."""
    async with _store() as (_, small), _store() as (opened, full):
        alone = await small.create(conversation(), [turn(number) for number in range(TURNS)])
        for _ in range(TURNS - 1):
            await small.create(conversation())
        template = await full.create(conversation(), [turn(number) for number in range(TURNS)])
        await _fill(opened, template.id)
        assert await full.count("alice") == FULL // OWNERS + 1
        listed: dict[str, list[float]] = {GATEWAY: [], ECHO: []}
        loaded: dict[str, list[float]] = {GATEWAY: [], ECHO: []}
        for number in range(rounds + 1):
            for side, store, one in ((ECHO, small, alone.id), (GATEWAY, full, template.id)):
                pages = [await _cpu_ms(partial(store.list, "alice", TURNS)) for _ in range(STEPS)]
                loads = [await _cpu_ms(partial(store.history, "alice", one, 10**9)) for _ in range(STEPS)]
                if number:
                    listed[side].append(median(pages))
                    loaded[side].append(median(loads))
    return [
        Figure("full_store_list_cpu_ms", "ms", listed),
        Figure("full_store_load_cpu_ms", "ms", loaded),
    ]


@asynccontextmanager
async def _store() -> AsyncIterator[tuple[Database, SqlConversations]]:
    with tempfile.TemporaryDirectory() as folder:
        async with database(f"sqlite+aiosqlite:///{Path(folder)}/store.db") as opened:
            yield opened, SqlConversations(opened, NoEncryption(), SqlAttachments(opened, NoEncryption()), Clock())


@asynccontextmanager
async def _bare(opened: Database) -> AsyncIterator[AsyncEngine]:
    """Open the same file as SQLAlchemy's documentation shows, with the same durability."""
    engine = create_async_engine(opened.url)

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    yield engine
    await engine.dispose()


async def _load_and_append(store: SqlConversations, lease: Lease) -> None:
    await store.history(lease.owner, lease.conversation_id, 10**9)
    await store.append(lease, turn(TURNS))


async def _claim_and_store(responses: SqlIdempotency, key: bytes) -> None:
    assert await responses.claim(key, b"digest", make_call()) is None
    await responses.put(key, b"digest", ANSWER)
    responses.release(key)


async def _two_transactions(engine: AsyncEngine, conversation_id: str) -> None:
    is_own = conversations.c.id == conversation_id
    async with engine.begin() as connection:
        (await connection.execute(select(conversations.c.turn_count).where(is_own))).all()
    async with engine.begin() as connection:
        await connection.execute(update(conversations).where(is_own).values(message_count=1))


async def _cpu_ms(step: Step) -> float:
    before = time.process_time()
    await step()
    return (time.process_time() - before) * 1e3


async def _fill(opened: Database, template: str) -> None:
    """Copy a conversation FULL times, to its owner and to others."""
    columns = [column.name for column in conversations.c]
    copied = ", ".join(
        {"id": "'conv_' || n", "owner": f"iif(n % {OWNERS} = 0, owner, 'owner-' || (n % {OWNERS}))"}.get(name, name)
        for name in columns
    )
    numbers = f"WITH RECURSIVE copies(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < {FULL})"
    names = [column.name for column in turns.c]
    values = ", ".join("'conv_' || n" if name == "conversation_id" else name for name in names)
    async with opened.writing() as connection:
        await connection.execute(
            text(
                f"INSERT INTO conversations ({', '.join(columns)}) {numbers} "
                f"SELECT {copied} FROM copies, conversations WHERE id = :id"
            ),
            {"id": template},
        )
        await connection.execute(
            text(
                f"INSERT INTO turns ({', '.join(names)}) {numbers} "
                f"SELECT {values} FROM copies, turns WHERE conversation_id = :id"
            ),
            {"id": template},
        )
