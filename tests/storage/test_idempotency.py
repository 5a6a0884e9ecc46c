"""The contract of a store of idempotent responses, for every implementation; in SQL also between servers."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aimanager_server.config.resilience import IdempotencySettings
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import Message, Role
from aimanager_server.core.embedding import EmbedResult
from aimanager_server.core.errors import DeadlineExceeded, InvalidRequest
from aimanager_server.core.request import Call
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata, SettingWarning
from aimanager_server.storage.encryption import cipher_of, new_key_line
from aimanager_server.storage.idempotency import IdempotencyStore
from aimanager_server.storage.memory_idempotency import MemoryIdempotency
from aimanager_server.storage.sql.idempotency import LEASE_SECONDS, SqlIdempotency
from tests.storage.stores import COST, USAGE, Clock, database, rich_turn
from tests.support.calls import make_call

KEY, DIGEST = b"key", b"digest"
SETTINGS = IdempotencySettings(ttl_seconds=60)


def result(conversation_id: str = "") -> GenerateResult:
    """A response with everything that a response can have."""
    failed, answered = AttemptRecord("claude", "opus", 0.0), AttemptRecord("mock", "mock-large", 0.0)
    failed.error_reason, failed.ended_at, failed.usage, failed.cost = "PROVIDER_OVERLOADED", 1.5, USAGE, COST
    answered.ended_at = 2.0
    warnings = (SettingWarning("sampling.seed", "was dropped"),)
    metadata = ResponseMetadata(
        "id", "latest", "mock", "mock-large", (failed, answered), warnings, 0.5, conversation_id=conversation_id
    )
    turn = rich_turn()
    message = Message(Role.ASSISTANT, tuple(part for one in turn.messages for part in one.parts), "mock", "mock-large")
    return GenerateResult(metadata, message, Finished(FinishReason.STOP, "end", USAGE, COST, 3.0, "{}"), turn.artifacts)


@dataclass(frozen=True)
class Servers:
    """Two servers that share a database; the same one twice in memory and with SQLite, which servers do not share."""

    first: IdempotencyStore
    second: IdempotencyStore
    clock: Clock


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def servers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Servers]:
    clock = Clock()
    if request.param == "memory":
        store = MemoryIdempotency(SETTINGS, clock)
        yield Servers(store, store, clock)
        return
    url = (
        f"sqlite+aiosqlite:///{tmp_path}/store.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgresql_url")
    )
    key_file = tmp_path / "keys"
    key_file.write_text(new_key_line("first"))
    cipher = cipher_of(key_file)
    async with database(url) as one, database(url) as other:
        first = SqlIdempotency(one, cipher, SETTINGS, clock)
        second = first if request.param == "sqlite" else SqlIdempotency(other, cipher, SETTINGS, clock)
        yield Servers(first, second, clock)
        await first.aclose()
        await second.aclose()


def a_call(deadline: float = 1e9) -> Call:
    return make_call(deadline=deadline)


def comparable(found: object) -> object:
    """Return a result with what its attempts say, since records are compared by identity."""
    assert isinstance(found, GenerateResult)
    attempts = [
        (one.provider, one.model, one.error_reason, one.duration, one.usage, one.cost)
        for one in found.metadata.attempts
    ]
    return attempts, replace(found, metadata=replace(found.metadata, attempts=()))


async def test_a_response_comes_back_as_it_was_stored(servers: Servers) -> None:
    assert await servers.first.claim(KEY, DIGEST, a_call()) is None
    await servers.first.put(KEY, DIGEST, result())
    servers.first.release(KEY)

    for store in (servers.second, servers.first):
        assert comparable(await store.claim(KEY, DIGEST, a_call())) == comparable(result())
    servers.clock.now += 61
    assert await servers.second.claim(KEY, DIGEST, a_call()) is None
    servers.second.release(KEY)


async def test_vectors_come_back_as_they_were_stored(servers: Servers) -> None:
    stored = EmbedResult("mock", "mock-embed", (array("f", [0.1, -2.5]), array("f", [1e-9, 3.0])), USAGE, COST)
    await servers.first.claim(KEY, DIGEST, a_call())
    await servers.first.put(KEY, DIGEST, stored)
    servers.first.release(KEY)

    assert await servers.second.claim(KEY, DIGEST, a_call()) == stored


async def test_a_repeated_call_waits_for_the_first_on_any_server(servers: Servers) -> None:
    await servers.first.claim(KEY, DIGEST, a_call())
    waiting = [asyncio.ensure_future(store.claim(KEY, DIGEST, a_call())) for store in (servers.first, servers.second)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)

    await servers.first.put(KEY, DIGEST, result())
    servers.first.release(KEY)

    assert [comparable(found) for found in await asyncio.gather(*waiting)] == [comparable(result())] * 2


async def test_a_released_key_can_be_claimed_again(servers: Servers) -> None:
    await servers.first.claim(KEY, DIGEST, a_call())
    waiting = asyncio.ensure_future(servers.second.claim(KEY, DIGEST, a_call()))

    servers.first.release(KEY)

    assert await waiting is None
    servers.second.release(KEY)


async def test_another_request_with_the_key_is_rejected(servers: Servers) -> None:
    await servers.first.claim(KEY, DIGEST, a_call())
    await servers.first.put(KEY, DIGEST, result())
    servers.first.release(KEY)

    for store in (servers.first, servers.second):
        with pytest.raises(InvalidRequest, match="already used for a different request"):
            await store.claim(KEY, b"other", a_call())


async def test_waiting_ends_with_the_deadline(servers: Servers) -> None:
    await servers.first.claim(KEY, DIGEST, a_call())
    deadline = asyncio.get_running_loop().time() + 0.01

    for store in (servers.first, servers.second):
        with pytest.raises(DeadlineExceeded):
            await store.claim(KEY, DIGEST, a_call(deadline))
    servers.first.release(KEY)


async def test_the_key_of_a_killed_server_becomes_free(servers: Servers) -> None:
    if servers.first is servers.second:
        pytest.skip("claims end with the server")
    await servers.first.claim(KEY, DIGEST, a_call())
    servers.clock.now += LEASE_SECONDS + 1

    assert await servers.second.claim(KEY, DIGEST, a_call()) is None
    await servers.first.put(KEY, DIGEST, result())  # it was only slow, and has lost the key
    servers.first.release(KEY)
    await servers.second.put(KEY, DIGEST, result("conv_second"))
    servers.second.release(KEY)

    found = await servers.first.claim(KEY, DIGEST, a_call())
    assert isinstance(found, GenerateResult)
    assert found.metadata.conversation_id == "conv_second"


async def test_responses_are_deleted_with_their_conversation(servers: Servers) -> None:
    for key, conversation_id in ((b"a", "conv_1"), (b"b", "conv_2"), (b"c", "")):
        await servers.first.claim(key, DIGEST, a_call())
        await servers.first.put(key, DIGEST, result(conversation_id))
        servers.first.release(key)

    await servers.second.forget("conv_1")

    found = [await servers.first.claim(key, DIGEST, a_call()) for key in (b"a", b"b", b"c")]
    assert [one is None for one in found] == [True, False, False]
    servers.first.release(b"a")
