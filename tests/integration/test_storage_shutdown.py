"""The stop of a server ends in time, also if its database does not respond."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

from structlog.testing import capture_logs

from aimanager_server.core.conversation import ConversationSettings, new_conversation
from aimanager_server.core.errors import StorageUnavailable
from aimanager_server.lifecycle import running_components
from tests.storage.stores import DAY, database
from tests.storage.test_responses import key, response
from tests.support.gateway import settings_with
from tests.support.postgresql import PostgreSQL

CONNECTIONS = 4
NEVER = 3_600.0
ENDS_SECONDS = 60.0
"""Far more than the stop takes on a busy machine, far less than NEVER."""


async def test_a_database_that_does_not_respond_does_not_hold_up_the_stop(postgresql: PostgreSQL) -> None:
    storage = {
        "url": postgresql.new_database(), "max_connections": CONNECTIONS, "statement_timeout_seconds": NEVER,
        "close_timeout_seconds": 0.2,
    }  # fmt: skip
    settings = settings_with(storage=storage, response_cache={"store": "storage"})

    with ExitStack() as stack, capture_logs() as log:
        async with asyncio.timeout(ENDS_SECONDS), running_components(settings) as app:
            state, conversations = app.state, app.state.storage.conversations
            fresh = new_conversation("alice", ConversationSettings(), time.time(), DAY, DAY)
            started = await conversations.create(fresh, [])
            lease = await conversations.acquire(started.owner, started.id, 0, NEVER)
            await asyncio.gather(*(conversations.count("alice") for _ in range(CONNECTIONS // 2)))
            stack.enter_context(postgresql.paused())
            state.storage.responses["storage"].put(key(), response())
            state.unfinished_turns.finish(started.id, conversations.release(lease))
            # Some wait for a response, some for a new connection, and some for one of those.
            reads = [asyncio.ensure_future(conversations.count("alice")) for _ in range(2 * CONNECTIONS)]
        ended = await asyncio.gather(*reads, return_exceptions=True)

    assert {type(one) for one in ended} == {StorageUnavailable}
    [timeout] = [entry for entry in log if entry["event"] == "storage.close_timeout"]
    assert (timeout["pending_responses"], timeout["unfinished_turns"]) == (1, 1)
    dropped = [entry["event"] for entry in log if entry["event"] in ("response_cache.failed", "conversation.turn_lost")]
    assert sorted(dropped) == ["conversation.turn_lost", "response_cache.failed"]


async def test_what_is_still_to_be_stored_is_stored_before_the_server_stops(postgresql_url: str) -> None:
    settings = settings_with(storage={"url": postgresql_url}, response_cache={"store": "storage"})
    async with running_components(settings) as app:
        for number in range(100):
            app.state.storage.responses["storage"].put(key(str(number)), response(at=time.time()))

    async with running_components(settings) as app:
        found = [await app.state.storage.responses["storage"].find(key(str(number))) for number in range(100)]

    assert None not in found


async def test_a_cancelled_transaction_ends_as_cancelled_also_if_its_connection_fails(postgresql_url: str) -> None:
    async def fail_when_cancelled() -> None:
        async with opened.writing():
            is_connected.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise TimeoutError

    is_connected = asyncio.Event()
    async with database(postgresql_url) as opened:
        task = asyncio.ensure_future(fail_when_cancelled())
        await is_connected.wait()
        task.cancel()
        await asyncio.wait({task})

    assert task.cancelled()
