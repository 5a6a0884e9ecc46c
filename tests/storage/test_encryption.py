"""What is stored is encrypted, bound to its row, and readable while its key is in the file."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from sqlalchemy import update

from aimanager_server.config.errors import StartupError
from aimanager_server.core.content import Attachment
from aimanager_server.core.errors import StorageUnavailable
from aimanager_server.storage.encryption import Cipher, NoEncryption, UnreadableValue, cipher_of, new_key_line
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from aimanager_server.storage.sql.tables import turns
from tests.storage.stores import IMAGE, Clock, Stores, conversation, database, turn

SECRET = "the treasure is under the palm"
KEY = base64.b64encode(bytes(range(32))).decode()


def cipher(folder: Path, *lines: str) -> Cipher:
    file = folder / "keys"
    file.write_text("\n".join(lines))
    return cipher_of(file)


async def test_the_database_holds_no_text_of_an_encrypted_conversation(tmp_path: Path) -> None:
    key = cipher(tmp_path, new_key_line("one"))
    async with database(f"sqlite+aiosqlite:///{tmp_path}/store.db") as opened:
        attachments = SqlAttachments(opened, key)
        stores = Stores(SqlConversations(opened, key, attachments, Clock()), attachments, Clock(), opened)
        started = await stores.start(title=SECRET, system_instruction=SECRET)
        await stores.append(started, turn(0, Attachment("text/plain", SECRET, SECRET.encode())))
        assert (await stores.conversations.get("alice", started.id)).settings.title == SECRET

    stored = b"".join((tmp_path / name).read_bytes() for name in os.listdir(tmp_path))
    assert started.id.encode() in stored
    assert SECRET.encode() not in stored


async def test_a_changed_or_moved_value_is_rejected(tmp_path: Path) -> None:
    key = cipher(tmp_path, new_key_line("one"))
    async with database(f"sqlite+aiosqlite:///{tmp_path}/store.db") as opened:
        store = SqlConversations(opened, key, SqlAttachments(opened, key), Clock())
        created = await store.create(conversation(), [turn(0), turn(1)])
        async with opened.writing() as connection:
            (first,) = await connection.execute(turns.select().where(turns.c.number == 0))
            await connection.execute(update(turns).where(turns.c.number == 1).values(payload=first.payload))

        with pytest.raises(StorageUnavailable) as raised:
            await store.turns("alice", created.id, 0, 10, 10**9)
        assert "was changed" in str(raised.value.__cause__)


async def test_keys_are_rotated(tmp_path: Path) -> None:
    old, new = new_key_line("old"), new_key_line("new")
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db"
    async with database(url) as opened:
        before = SqlConversations(opened, cipher(tmp_path, old), SqlAttachments(opened, NoEncryption()), Clock())
        created = await before.create(conversation(title="x"), [turn(0)])
        both = cipher(tmp_path, new, old)
        after = SqlConversations(opened, both, SqlAttachments(opened, both), Clock())
        lease = await after.acquire("alice", created.id, 1, 30.0)
        await after.append(lease, turn(1))
        await after.update("alice", created.id, lambda settings: settings)
        assert await after.turns("alice", created.id, 0, 10, 10**9) == [turn(0), turn(1)]

        only_new = cipher(tmp_path, new)
        late = SqlConversations(opened, only_new, SqlAttachments(opened, only_new), Clock())
        assert (await late.get("alice", created.id)).turn_count == 2  # written again by the update
        with pytest.raises(StorageUnavailable) as raised:
            await late.turns("alice", created.id, 0, 10, 10**9)
        assert "key of aes-256-gcm:old is missing" in str(raised.value.__cause__)


def test_values_stored_before_encryption_stay_readable(tmp_path: Path) -> None:
    name, value = NoEncryption().encrypt(IMAGE, b"here")

    assert cipher(tmp_path, new_key_line("one")).decrypt(name, value, b"here") == IMAGE
    with pytest.raises(UnreadableValue, match="encryption_key_file"):
        NoEncryption().decrypt("aes-256-gcm:one", value, b"here")


@pytest.mark.parametrize("content", ["", "no colon", "a:dG9vIHNob3J0", "a:%%%"])
def test_an_invalid_key_file_is_rejected_without_its_content(tmp_path: Path, content: str) -> None:
    with pytest.raises(StartupError) as raised:
        cipher(tmp_path, content)

    assert str(tmp_path) in str(raised.value)
    assert KEY not in str(raised.value)
    assert "dG9v" not in str(raised.value)


@pytest.mark.parametrize(
    ("second", "problem"), [(KEY, "remove one of the two lines"), (KEY.swapcase(), "yet another id")]
)
def test_two_entries_with_one_id_are_rejected(tmp_path: Path, second: str, problem: str) -> None:
    with pytest.raises(StartupError, match=f"entry 2: the id a is that of an earlier entry.*{problem}") as raised:
        cipher(tmp_path, f"a:{KEY}\na:{second}")

    assert KEY not in str(raised.value)
    assert second not in str(raised.value)


def test_a_value_that_lost_its_end_cannot_be_read(tmp_path: Path) -> None:
    encryption = cipher(tmp_path, f"a:{KEY}")

    with pytest.raises(UnreadableValue, match="was changed"):
        encryption.decrypt("aes-256-gcm:a", b"short", b"here")
