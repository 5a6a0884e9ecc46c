"""Conversations in memory leave it when they are idle, or when others need the space."""

from __future__ import annotations

import pytest

from aimanager_server.config.storage import StorageSettings
from aimanager_server.core.content import Attachment
from aimanager_server.core.errors import ConversationNotFound
from aimanager_server.storage.memory_conversations import MemoryConversations
from tests.storage.stores import IMAGE, Clock, Stores, turn


def stores(**settings: float) -> tuple[Stores, MemoryConversations]:
    clock = Clock()
    memory = MemoryConversations(StorageSettings(**settings), clock)  # type: ignore[arg-type]
    return Stores(memory, memory, clock), memory


async def test_an_idle_conversation_leaves_the_memory_after_an_hour() -> None:
    found, memory = stores()
    used, idle = await found.start(), await found.start()
    found.clock.now += 3_599
    await found.append(used, turn(0))
    found.clock.now += 2

    with pytest.raises(ConversationNotFound):
        await memory.get("alice", idle.id)
    assert (await memory.get("alice", used.id)).turn_count == 1
    assert await memory.delete_expired(10) == [idle.id]
    assert memory.entries == 1


async def test_the_least_recently_used_conversation_of_the_largest_owner_is_dropped_first() -> None:
    found, memory = stores(max_memory_bytes=70_000)
    small = await found.start("bob")
    started = []
    for number in range(5):
        one = await found.start()
        await found.append(one, turn(0, Attachment("image/png", "", IMAGE + bytes([number]))))
        started.append(one.id)

    assert 55_000 < memory.size <= 70_000
    assert [one.id for one in await memory.list("alice", 100)] == started[:0:-1]
    assert (await memory.get("bob", small.id)).id == small.id


async def test_nothing_is_left_of_deleted_conversations() -> None:
    found, memory = stores()
    for _ in range(3):
        one = await found.start(turns=1)
        await found.append(one, turn(1, Attachment("image/png", "", IMAGE)))
        await memory.delete("alice", one.id)

    assert (memory.size, memory.entries) == (0, 0)


async def test_new_limits_apply_at_once() -> None:
    found, memory = stores()
    for _ in range(5):
        await found.start(turns=3)

    memory.reconfigure(StorageSettings(max_memory_bytes=20_000))

    assert 0 < memory.size <= 20_000
