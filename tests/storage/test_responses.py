"""The contract of a store of responses for equal requests, for every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.errors import StorageUnavailable
from aimanager_server.core.request import Caller
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata, SettingWarning
from aimanager_server.storage.cache_key import CacheKey, OwnerScope
from aimanager_server.storage.encryption import Cipher, cipher_of, new_key_line
from aimanager_server.storage.memory_responses import MemoryResponses
from aimanager_server.storage.response_cache import CachedResponse, ResponseStore
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from aimanager_server.storage.sql.database import Database
from aimanager_server.storage.sql.responses import MAX_RESPONSE_BYTES, SqlResponses
from aimanager_server.storage.sql.tables import responses as table
from aimanager_server.telemetry.response_cache_metrics import ResponseCacheMetrics
from tests.storage.stores import COST, NOW, USAGE, Clock, conversation, database, rich_turn
from tests.support.metrics import sample_value

ANN, BOB = Caller("ann"), Caller("bob")
OWNERS = [
    ANN, BOB, Caller("ann", provider_keys={"mock": "1"}), Caller("ann", provider_keys={"mock": "2"}),
    Caller(), Caller(provider_keys={"mock": "1"}), Caller("root", is_admin=True), Caller(is_admin=True, name="root2"),
]  # fmt: skip


PATIENCE = 60.0
"""Seconds that a database may take on a busy machine."""


def key(content: str = "a", caller: Caller = ANN) -> CacheKey:
    return CacheKey(OwnerScope.of(caller), content.encode())


def response(text: str = "Hello.", at: float = NOW, conversation_id: str = "") -> CachedResponse:
    metadata = ResponseMetadata("id", "latest", "mock", "mock-large", warnings=(SettingWarning("a", "b"),))
    message = Message(Role.ASSISTANT, (Text(text),), "mock", "mock-large")
    return CachedResponse(
        GenerateResult(metadata, message, Finished(FinishReason.STOP, "end", USAGE, COST, 0.0, "{}")),
        at,
        conversation_id,
    )


@dataclass
class Kept:
    """A store, and another one over the same database; the same one in memory."""

    store: ResponseStore
    other: ResponseStore
    clock: Clock
    registry: CollectorRegistry
    opened: Database | None = None
    cipher: Cipher | None = None

    async def put(self, key: CacheKey, response: CachedResponse) -> None:
        """Store a response and wait until it is written."""
        self.store.put(key, response)
        await self.store.aclose()

    async def start_conversation(self) -> str:
        """Return the id of a conversation in the same database."""
        if self.opened is None or self.cipher is None:
            return "conv_1"
        attachments = SqlAttachments(self.opened, self.cipher)
        return (await SqlConversations(self.opened, self.cipher, attachments, self.clock).create(conversation(), [])).id

    def counted(self, name: str) -> float:
        return sample_value(self.registry, f"aimanager_response_cache_{name}_total")


@pytest.fixture(params=["memory", "sqlite", "sqlite-encrypted", "postgresql"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    clock, registry = Clock(), CollectorRegistry()
    metrics, kind = ResponseCacheMetrics(registry), request.param
    if kind == "memory":
        memory = MemoryResponses(settings(), metrics, clock)
        yield Kept(memory, memory, clock, registry)
        return
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else f"sqlite+aiosqlite:///{tmp_path}/a.db"
    (tmp_path / "keys").write_text(new_key_line("first"))
    cipher = cipher_of(tmp_path / "keys" if kind.endswith("encrypted") else None)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(database(url))
        store, other = (SqlResponses(opened, cipher, settings(), metrics, clock) for _ in range(2))
        yield Kept(store, other, clock, registry, opened, cipher)
        await store.aclose()


def settings(**changed: object) -> ResponseCacheSettings:
    return ResponseCacheSettings.model_validate({"ttl_seconds": 60, "lookup_timeout_seconds": PATIENCE, **changed})


async def test_a_response_is_found_as_it_was_stored(kept: Kept) -> None:
    turn = rich_turn()
    message = Message(Role.ASSISTANT, tuple(part for one in turn.messages for part in one.parts), "mock", "mock-large")
    whole = response()
    stored = replace(whole, result=replace(whole.result, message=message, artifacts=turn.artifacts))

    kept.store.put(key(), stored)
    at_once = await kept.store.find(key())
    await kept.store.aclose()

    assert at_once == stored
    assert await kept.other.find(key()) == stored
    assert await kept.other.find(key("b")) is None
    assert kept.counted("stores") == 1


async def test_no_two_owners_share_a_response(kept: Kept) -> None:
    for number, owner in enumerate(OWNERS):
        await kept.put(key("same", owner), response(f"answer {number}"))

    found = [await kept.other.find(key("same", owner)) for owner in OWNERS]

    assert [one and one.result.message.parts for one in found] == [(Text(f"answer {n}"),) for n in range(len(OWNERS))]


async def test_a_key_of_another_owner_finds_nothing_even_if_digests_are_equal(kept: Kept) -> None:
    await kept.put(key(), response())
    forged = key("other", BOB)
    forged.digest = key().digest

    assert await kept.other.find(forged) is None


async def test_a_response_expires_and_is_replaced(kept: Kept) -> None:
    await kept.put(key(), response("first"))
    await kept.put(key("b"), response("b", NOW + 30))
    kept.clock.now += 60

    expired = await kept.other.find(key())
    await kept.store.delete_expired()
    await kept.put(key(), response("second", kept.clock.now))
    await kept.put(key(), response("third", kept.clock.now))
    found, b = await kept.other.find(key()), await kept.other.find(key("b"))

    assert expired is None
    assert found is not None
    assert (found.result.message.parts, found.generated_at) == ((Text("third"),), kept.clock.now)
    assert b is not None


async def test_a_deleted_conversation_takes_its_responses_with_it(kept: Kept) -> None:
    conversation_id, other_id = await kept.start_conversation(), await kept.start_conversation() + "2"
    await kept.put(key("a"), response(conversation_id=conversation_id))
    await kept.put(key("b"), response())
    kept.store.put(key("c"), response(conversation_id=conversation_id))

    await kept.store.forget(conversation_id)
    await kept.store.forget(other_id)
    await kept.store.aclose()

    assert [await kept.other.find(key(name)) for name in "abc"] == [None, response(), None]


async def test_the_caller_with_the_most_loses_its_oldest_response(kept: Kept) -> None:
    kept.store.reconfigure(settings(max_entries=6))
    for name in "xyz":
        await kept.put(key(name, BOB), response(at=NOW - 10))
    for number in range(20):
        await kept.put(key(str(number), ANN), response(at=NOW + number))

    await kept.store.delete_expired()

    assert [await kept.other.find(key(name, BOB)) is not None for name in "xyz"] == [True] * 3
    left = [number for number in range(20) if await kept.other.find(key(str(number), ANN))]
    assert left == [17, 18, 19]
    assert kept.counted("evictions") == 17


async def test_size_is_bounded_by_bytes_too(kept: Kept) -> None:
    kept.store.reconfigure(settings(max_bytes=200_000))
    await kept.put(key("x", BOB), response("x" * 10_000))
    for number in range(8):
        await kept.put(key(str(number), ANN), response("y" * 30_000, at=NOW + number))
    await kept.put(key("huge", ANN), response("z" * 200_001))

    await kept.store.delete_expired()

    assert await kept.other.find(key("x", BOB)) is not None
    assert await kept.other.find(key("huge", ANN)) is None
    assert await kept.other.find(key("0", ANN)) is None
    assert await kept.other.find(key("7", ANN)) is not None


async def test_a_response_that_cannot_be_read_is_not_found(kept: Kept) -> None:
    if kept.opened is None:
        pytest.skip("memory keeps objects")
    await kept.put(key(), response())
    async with kept.opened.writing() as connection:
        await connection.execute(table.update().values(response=b"{"))

    assert await kept.other.find(key()) is None
    assert sample_value(kept.registry, "aimanager_response_cache_failures_total", operation="read") == 1


async def test_large_responses_are_not_written_to_a_database(kept: Kept) -> None:
    if kept.opened is None:
        pytest.skip("of a database")
    large = response("x" * (MAX_RESPONSE_BYTES // 4))

    kept.store.put(key(), large)

    assert (kept.store.entries, kept.store.size) == (0, 0)
    for number in range(50):
        kept.store.put(key(str(number)), response("x" * (MAX_RESPONSE_BYTES // 5)))
    assert kept.store.size <= 32 * 1024 * 1024
    assert sample_value(kept.registry, "aimanager_response_cache_failures_total", operation="write") > 0
    await kept.store.aclose()
    assert (kept.store.entries, kept.store.size) == (0, 0)


async def test_a_response_whose_conversation_was_deleted_meanwhile_is_not_written(kept: Kept) -> None:
    if kept.opened is None:
        pytest.skip("of a database")

    await kept.put(key(), response(conversation_id="conv_deleted"))

    assert await kept.other.find(key()) is None


async def test_memory_is_counted_and_emptied_when_the_store_is_switched_off() -> None:
    store = MemoryResponses(settings(), ResponseCacheMetrics(CollectorRegistry()), Clock())
    for number in range(1_001):
        store.put(key(str(number)), response())
    assert (store.entries, store.size > 1_000_000) == (1_000, True)

    store.reconfigure(settings(store="off"))
    store.put(key(), response())

    assert (store.entries, store.size, await store.find(key())) == (0, 0, None)


async def test_a_slow_database_is_not_waited_for(tmp_path: Path) -> None:
    metrics = ResponseCacheMetrics(CollectorRegistry())
    async with database(f"sqlite+aiosqlite:///{tmp_path}/a.db") as opened:
        store = SqlResponses(opened, cipher_of(None), settings(lookup_timeout_seconds=1e-9), metrics, Clock())

        with pytest.raises(StorageUnavailable, match="took longer"):
            await store.find(key())
        await store.aclose()


async def test_a_failing_database_loses_only_the_responses(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with database(f"sqlite+aiosqlite:///{tmp_path}/a.db") as opened:
        store = SqlResponses(opened, cipher_of(None), settings(), ResponseCacheMetrics(registry), Clock())
        async with opened.writing() as connection:
            await connection.execute(table.delete())
            await connection.run_sync(table.drop)

        store.put(key(), response())
        await store.aclose()

        assert (store.entries, store.size) == (0, 0)
        assert sample_value(registry, "aimanager_response_cache_failures_total", operation="write") == 1
