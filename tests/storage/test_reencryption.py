"""What was encrypted with an old key is encrypted again with the first one, also beside running servers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.core.content import Attachment
from aimanager_server.core.conversation import ConversationSettings
from aimanager_server.storage.encryption import Cipher, NoEncryption, cipher_of, new_key_line
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from aimanager_server.storage.sql.database import Database
from aimanager_server.storage.sql.encrypted_columns import ENCRYPTED_COLUMNS
from aimanager_server.storage.sql.idempotency import SqlIdempotency
from aimanager_server.storage.sql.reencryption import BATCH_ROWS, Reencrypted, reencrypt, values_by_cipher
from aimanager_server.storage.sql.responses import SqlResponses
from aimanager_server.storage.sql.tables import metadata
from aimanager_server.telemetry.response_cache_metrics import ResponseCacheMetrics
from tests.storage.stores import IMAGE, Clock, Stores, conversation, database, turn
from tests.storage.test_idempotency import DIGEST, KEY, SETTINGS, a_call, comparable, result
from tests.storage.test_responses import key as cache_key
from tests.storage.test_responses import response as cached_response

OLD, NEW = new_key_line("old"), new_key_line("new")
OLD_NAME, NEW_NAME = "aes-256-gcm:old", "aes-256-gcm:new"


@pytest.fixture(params=["sqlite", "postgresql"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db" if is_sqlite else request.getfixturevalue("postgresql_url")
    async with database(url) as empty:
        yield empty


@pytest.fixture
def ciphers(tmp_path: Path) -> Mapping[str, Cipher]:
    """Ciphers with the lines of a key file that operators write one after the other."""
    file, found = tmp_path / "keys", {}
    for name, lines in (("old", [OLD]), ("both", [NEW, OLD]), ("new", [NEW])):
        file.write_text("\n".join(lines))
        found[name] = cipher_of(file)
    return found


def stores(opened: Database, cipher: Cipher) -> Stores:
    attachments = SqlAttachments(opened, cipher)
    return Stores(SqlConversations(opened, cipher, attachments, Clock()), attachments, Clock(), opened)


def cached_responses(opened: Database, cipher: Cipher) -> SqlResponses:
    settings = ResponseCacheSettings(lookup_timeout_seconds=60.0)
    return SqlResponses(opened, cipher, settings, ResponseCacheMetrics(CollectorRegistry()), Clock())


async def test_after_it_the_old_key_can_be_removed(opened: Database, ciphers: Mapping[str, Cipher]) -> None:
    before = stores(opened, ciphers["old"])
    started = await before.start(title="trip", turns=2)
    picture = turn(2, Attachment("image/png", "a.png", IMAGE))
    await before.append(started, picture)
    responses = SqlIdempotency(opened, ciphers["old"], SETTINGS, Clock())
    await responses.claim(KEY, DIGEST, a_call())
    await responses.put(KEY, DIGEST, result())
    responses.release(KEY)
    await responses.claim(b"in flight", DIGEST, a_call())
    cached = cached_responses(opened, ciphers["old"])
    cached.put(cache_key(), cached_response())
    await cached.aclose()
    await stores(opened, NoEncryption()).start(owner="bob", title="from before encryption")
    assert await values_by_cipher(opened) == {OLD_NAME: 7, "": 1}

    assert await reencrypt(opened, ciphers["both"]) == Reencrypted(values=8)

    assert await values_by_cipher(opened) == {NEW_NAME: 8}
    after = stores(opened, ciphers["new"])
    assert (await after.conversations.get("alice", started.id)).settings.title == "trip"
    assert await after.conversations.turns("alice", started.id, 0, 10, 10**9) == [turn(0), turn(1), picture]
    found = await SqlIdempotency(opened, ciphers["new"], SETTINGS, Clock()).claim(KEY, DIGEST, a_call())
    assert comparable(found) == comparable(result())
    assert await cached_responses(opened, ciphers["new"]).find(cache_key()) == cached_response()
    assert await reencrypt(opened, ciphers["new"]) == Reencrypted()
    responses.release(b"in flight")
    await responses.aclose()


async def test_servers_add_change_and_delete_meanwhile(opened: Database, ciphers: Mapping[str, Cipher]) -> None:
    before, server = stores(opened, ciphers["old"]), stores(opened, ciphers["both"])
    written = await before.start(turns=BATCH_ROWS + 1)
    deleted = [await before.start(turns=5) for _ in range(10)]

    async def work() -> None:
        for number in range(20):
            added = turn(BATCH_ROWS + 1 + number)
            await server.append(written, added)
            await server.conversations.pin("alice", written.id, number, is_pinned=True)
            settings = ConversationSettings(title=f"title {number}")
            await server.conversations.update("alice", written.id, lambda _, new=settings: new)  # type: ignore[misc]
            if deleted:
                await server.conversations.delete("alice", deleted.pop().id)

    await asyncio.gather(reencrypt(opened, ciphers["both"]), work())

    assert (await values_by_cipher(opened)).keys() == {NEW_NAME}
    after = stores(opened, ciphers["new"]).conversations
    assert (await after.get("alice", written.id)).settings.title == "title 19"
    stored = await after.turns("alice", written.id, 0, 1000, 10**9)
    assert stored == [replace(turn(number), is_pinned=number < 20) for number in range(BATCH_ROWS + 21)]


async def test_values_without_their_key_are_counted_and_left(opened: Database, ciphers: Mapping[str, Cipher]) -> None:
    started = await stores(opened, ciphers["old"]).start(turns=2)
    await stores(opened, NoEncryption()).start(turns=1)

    assert await reencrypt(opened, ciphers["new"]) == Reencrypted(values=2, unreadable=3)

    assert await stores(opened, ciphers["old"]).conversations.turns("alice", started.id, 0, 9, 10**9) == [
        turn(0),
        turn(1),
    ]


def test_every_table_with_a_cipher_is_encrypted_again() -> None:
    with_cipher = {table.name for table in metadata.tables.values() if "cipher" in table.c}

    assert {column.table.name for column in ENCRYPTED_COLUMNS} == with_cipher


async def test_a_killed_command_continues_when_it_is_called_again(
    opened: Database, ciphers: Mapping[str, Cipher], tmp_path: Path
) -> None:
    turns = [turn(number) for number in range(20 * BATCH_ROWS)]
    started = await stores(opened, ciphers["old"]).conversations.create(conversation(), turns)
    (tmp_path / "keys").write_text(f"{NEW}\n{OLD}")
    config = tmp_path / "aimanager.toml"
    url = opened.url.render_as_string(hide_password=False)
    config.write_text(f'[storage]\nurl = "{url}"\nencryption_key_file = "{tmp_path}/keys"\n')
    command = (sys.executable, "-m", "aimanager_server", "storage", "reencrypt", "--config", str(config))

    killed = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    await _kill_when_some_are_done(killed, opened)
    partly = await values_by_cipher(opened)
    assert 0 < partly[NEW_NAME] < len(turns)
    assert await stores(opened, ciphers["both"]).conversations.turns("alice", started.id, 0, 10**5, 10**9) == turns
    again = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    printed, _ = await again.communicate()

    assert again.returncode == 0
    assert f"Encrypted {partly[OLD_NAME]} values again, with key new." in printed.decode()
    assert await values_by_cipher(opened) == {NEW_NAME: len(turns) + 1}
    assert await stores(opened, ciphers["new"]).conversations.turns("alice", started.id, 0, 10**5, 10**9) == turns


async def _kill_when_some_are_done(process: asyncio.subprocess.Process, opened: Database) -> None:
    """Kill the process between two of its transactions, when some of the turns are encrypted again."""
    query = text("SELECT count(*) FROM turns WHERE cipher = :name")
    while process.returncode is None:
        async with opened.writing() as connection:
            if not opened.is_sqlite:
                await connection.execute(text("LOCK TABLE turns IN SHARE MODE"))
            done = (await connection.execute(query, {"name": NEW_NAME})).scalar_one()
            if done:
                process.kill()
                await process.wait()
                return
        await asyncio.sleep(0.005)
