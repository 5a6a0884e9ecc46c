"""The contract of a conversation store, for every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from aimanager_server.core.content import Attachment
from aimanager_server.core.conversation import Compaction, ConversationSettings, Summary
from aimanager_server.core.errors import ConversationBusy, ConversationNotFound
from aimanager_server.core.usage import add_cost, add_usage
from aimanager_server.storage.conversations import ConversationStore, Lease, Page
from aimanager_server.storage.sql.tables import attachments, deletions, labels, turn_attachments, turns
from tests.storage.stores import COST, DAY, IMAGE, NOW, USAGE, Stores, conversation, rich_turn, turn


async def test_a_conversation_comes_back_as_it_was_stored(stores: Stores) -> None:
    settings = ConversationSettings("Title", "claude/latest", "Be brief. 短く", {"team": "a", "env": ""})
    created = await stores.conversations.create(replace(conversation(), settings=settings), [turn(0), turn(1)])

    found = await stores.conversations.get("alice", created.id)

    assert found == created
    assert found.settings == settings
    assert (found.turn_count, found.message_count, found.usage) == (2, 4, add_usage(USAGE, USAGE))
    assert found.cost == add_cost(COST, COST)


async def test_a_turn_comes_back_as_it_was_appended(stores: Stores) -> None:
    started = await stores.start()

    await stores.append(started, rich_turn())

    assert await stores.conversations.turns("alice", started.id, 0, 10, 10**9) == [rich_turn()]
    assert (await stores.conversations.history("alice", started.id, 10**9)).turns == (rich_turn(),)


async def test_turns_are_appended_in_order_and_read_in_pages(stores: Stores) -> None:
    started = await stores.start(turns=1)
    for number in range(1, 5):
        changed = await stores.append(started, turn(number))

    assert (changed.turn_count, changed.message_count) == (5, 10)
    assert [one.number for one in await stores.conversations.turns("alice", started.id, 1, 2, 10**9)] == [1, 2]
    assert [one.number for one in await stores.conversations.turns("alice", started.id, 4, 5, 10**9)] == [4]
    assert await stores.conversations.turns("alice", started.id, 5, 5, 10**9) == []
    assert [one.number for one in await stores.conversations.turns("alice", started.id, 1, 5, 1)] == [1]


async def test_a_lease_excludes_others_until_it_is_released_or_expires(stores: Stores) -> None:
    store, started = stores.conversations, await stores.start()
    lease = await store.acquire("alice", started.id, 0, 30.0)

    with pytest.raises(ConversationBusy):
        await store.acquire("alice", started.id, 0, 30.0)
    await store.release(lease)
    second = await store.acquire("alice", started.id, 0, 30.0)
    stores.clock.now += 20
    await store.renew(second, 30.0)
    stores.clock.now += 20
    with pytest.raises(ConversationBusy):
        await store.acquire("alice", started.id, 0, 30.0)
    stores.clock.now += 20
    third = await store.acquire("alice", started.id, 0, 30.0)

    assert lease.token < second.token < third.token


async def test_a_lost_lease_changes_nothing(stores: Stores) -> None:
    store, started = stores.conversations, await stores.start()
    lost = await store.acquire("alice", started.id, 0, 1.0)
    stores.clock.now += 2
    current = await store.acquire("alice", started.id, 0, 30.0)

    for operation in (store.append(lost, turn(0)), store.renew(lost, 30.0)):
        with pytest.raises(ConversationBusy):
            await operation
    await store.release(lost)

    assert (await store.append(current, turn(0))).turn_count == 1
    for operation in (store.append(current, turn(1)), store.renew(current, 30.0)):
        with pytest.raises(ConversationBusy):
            await operation
    with pytest.raises(ConversationBusy):
        await store.acquire("alice", started.id, 0, 30.0)  # it has another turn by now
    assert (await store.get("alice", started.id)).turn_count == 1


async def test_of_forty_concurrent_writers_one_appends(stores: Stores) -> None:
    store, started = stores.conversations, await stores.start()

    async def write(number: int) -> bool:
        try:
            lease = await store.acquire("alice", started.id, 0, 30.0)
        except ConversationBusy:
            return False
        await asyncio.sleep(0)
        await store.append(lease, turn(0))
        return True

    assert sum(await asyncio.gather(*map(write, range(40)))) == 1
    assert len(await store.turns("alice", started.id, 0, 10, 10**9)) == 1


FOREIGN: dict[str, Callable[[ConversationStore, str, str], Awaitable[object]]] = {
    "get": lambda store, owner, one: store.get(owner, one),
    "update": lambda store, owner, one: store.update(owner, one, lambda _: ConversationSettings("x")),
    "set_summary": lambda store, owner, one: store.set_summary(owner, one, Summary(1, "x")),
    "pin": lambda store, owner, one: store.pin(owner, one, 0, is_pinned=True),
    "delete": lambda store, owner, one: store.delete(owner, one),
    "turns": lambda store, owner, one: store.turns(owner, one, 0, 10, 10**9),
    "history": lambda store, owner, one: store.history(owner, one, 10**9),
    "acquire": lambda store, owner, one: store.acquire(owner, one, 1, 30.0),
    "fork": lambda store, owner, one: store.fork(owner, one, 1, conversation(owner)),
}
"""Every operation on a conversation by its id."""


async def test_foreign_unknown_and_expired_ids_are_not_found(stores: Stores) -> None:
    started, store = await stores.start(turns=1), stores.conversations
    for name, operation in FOREIGN.items():
        for owner, conversation_id in (("bob", started.id), ("", started.id), ("alice", "conv_unknown")):
            with pytest.raises(ConversationNotFound) as raised:
                await operation(store, owner, conversation_id)
            assert raised.value.message == f"Conversation '{conversation_id}' was not found.", name
    lease = await store.acquire("alice", started.id, 1, 30.0)
    with pytest.raises((ConversationBusy, ConversationNotFound)):
        await store.append(Lease(replace(lease.conversation, owner="bob"), lease.token), turn(1))
    assert (await store.get("alice", started.id)) == started

    stores.clock.now = started.expires_at

    for operation in FOREIGN.values():
        with pytest.raises(ConversationNotFound):
            await operation(store, "alice", started.id)
    assert await store.list("alice", 10) == []
    assert await store.list("bob", 10) == []


async def test_conversations_are_listed_by_their_last_use(stores: Stores) -> None:
    store = stores.conversations
    created = []
    for number in range(5):
        stores.clock.now = NOW + number
        one = conversation(labels={"number": str(number % 2)})
        created.append(await store.create(replace(one, updated_at=stores.clock.now)))
    await stores.start("bob")
    stores.clock.now = NOW + 10
    await stores.append(created[1], turn(0))

    listed = [one.id for one in await store.list("alice", 10)]
    expected = [created[number].id for number in (1, 4, 3, 2, 0)]
    first = await store.list("alice", 2)
    rest = await store.list("alice", 10, Page(first[-1].updated_at, first[-1].id))

    assert listed == expected
    assert [one.id for one in (*first, *rest)] == expected
    assert [one.id for one in await store.list("alice", 10, labels={"number": "1"})] == [created[1].id, created[3].id]
    assert await store.list("alice", 10, labels={"number": "1", "other": "1"}) == []
    assert await store.count("alice") == 5


async def test_settings_and_labels_are_replaced(stores: Stores) -> None:
    started = await stores.start(title="Old", labels={"a": "1", "b": "2"})
    stores.clock.now += 5

    settings = ConversationSettings("New", labels={"b": "3"})
    changed = await stores.conversations.update("alice", started.id, lambda _: settings)

    assert changed == await stores.conversations.get("alice", started.id)
    assert (changed.settings.title, changed.settings.labels) == ("New", {"b": "3"})
    assert (changed.updated_at, changed.expires_at) == pytest.approx((NOW + 5, NOW + 5 + DAY))
    assert await stores.conversations.list("alice", 10, labels={"a": "1"}) == []


async def test_a_fork_is_independent_of_its_origin(stores: Stores) -> None:
    store = stores.conversations
    image = Attachment("image/png", "a.png", IMAGE)
    origin = await store.create(conversation(), [turn(0, image), turn(1), turn(2)])

    fork = await store.fork("alice", origin.id, 2, replace(conversation(), forked_from=origin.id))
    await stores.append(fork, turn(2))
    await store.delete("alice", origin.id)

    assert (await store.get("alice", fork.id)).turn_count == 3
    assert (await store.get("alice", fork.id)).usage == add_usage(USAGE, add_usage(USAGE, USAGE))
    assert await store.turns("alice", fork.id, 0, 10, 10**9) == [turn(0, image), turn(1), turn(2)]
    assert (await store.fork("alice", fork.id, 99, conversation())).turn_count == 3


async def test_attachments_are_stored_once_for_each_owner(stores: Stores) -> None:
    image = Attachment("image/png", "a.png", IMAGE)
    started = await stores.start()
    for number in range(3):
        await stores.append(started, turn(number, image, image))
    other = await stores.start("bob")
    await stores.append(other, turn(0, image))

    for owner in ("alice", "bob"):
        stored = await stores.attachments.stored(owner)
        assert (stored.count, stored.size) == (1, len(IMAGE))
    await stores.conversations.delete("alice", started.id)

    assert (await stores.attachments.stored("alice")).count == 0
    assert await stores.conversations.turns("bob", other.id, 0, 10, 10**9) == [turn(0, image)]


async def test_history_has_what_fits_and_what_is_pinned(stores: Stores) -> None:
    store, started = stores.conversations, await stores.start(turns=6)
    everything = await store.history("alice", started.id, 10**9)
    size = 0
    while len((await store.history("alice", started.id, size)).turns) < 2:
        size += 10
    await store.pin("alice", started.id, 1, is_pinned=True)
    await store.pin("alice", started.id, 77, is_pinned=True)

    cut = await store.history("alice", started.id, size)
    summary = Summary(3, "In short: nothing.", "mock", "mock-large")
    await store.set_summary("alice", started.id, replace(summary, native=Compaction("openai", "gpt", b"\xff\x00")))
    native = (await store.get("alice", started.id)).summary
    await store.set_summary("alice", started.id, summary)
    await store.set_summary("alice", started.id, Summary(2, "older"))
    summarized = await store.history("alice", started.id, 10**9)
    await store.pin("alice", started.id, 1, is_pinned=False)

    assert [one.number for one in everything.turns] == [0, 1, 2, 3, 4, 5]
    assert ([one.number for one in cut.turns], cut.omitted) == ([1, 5], 4)
    assert [one.number for one in summarized.turns] == [1, 3, 4, 5]
    assert native == replace(summary, native=Compaction("openai", "gpt", b"\xff\x00"))
    assert summarized.conversation.summary == summary
    assert [one.number for one in (await store.history("alice", started.id, 10**9)).turns] == [3, 4, 5]


async def test_expired_conversations_are_deleted_in_batches(stores: Stores) -> None:
    store = stores.conversations
    kept = await store.create(replace(conversation(), expires_at=NOW + 9 * DAY, idle_seconds=9 * DAY))
    for _ in range(3):
        await stores.start(turns=1)
    stores.clock.now = NOW + 2 * DAY + 1

    counts = [len(await store.delete_expired(2)) for _ in range(3)]

    assert counts == [2, 1, 0]
    assert [one.id for one in await store.list("alice", 10)] == [kept.id]
    assert await store.count("alice") == 1


async def test_deletion_leaves_nothing_but_a_record(stores: Stores) -> None:
    started = await stores.start(turns=0, labels={"a": "1"})
    await stores.append(started, rich_turn())
    await stores.conversations.delete("alice", started.id)

    with pytest.raises(ConversationNotFound):
        await stores.conversations.get("alice", started.id)
    if stores.database is None:
        return
    async with stores.database.reading() as connection:
        for table in (turns, labels, attachments, turn_attachments):
            assert (await connection.execute(select(table))).all() == []
        (record,) = await connection.execute(select(deletions))
    assert (record.conversation_id, record.owner, record.turns, record.reason) == (started.id, "alice", 1, "requested")
    assert record.attachments == 2
