"""`aimanager-server storage` against real databases."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest

from aimanager_server.commands.main import main
from aimanager_server.config.storage import StorageSettings, user_database_url
from aimanager_server.storage.encryption import cipher_of, new_key_line
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from tests.storage.stores import conversation, database, turn


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite+aiosqlite:///{tmp_path}/a.db" if is_sqlite else request.getfixturevalue("postgresql_url")
    path = tmp_path / "aimanager.toml"
    path.write_text(f'[storage]\nurl = "{url}"\n')
    return str(path)


def run(action: str, config: str) -> int:
    return main(["storage", action, "--config", config], {})


def test_a_database_is_migrated_once(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", config) == 1
    assert "has version none" in capsys.readouterr().err
    assert [run("migrate", config), run("migrate", config), run("check", config), run("status", config)] == [0] * 4

    first, second, ready, *status = capsys.readouterr().out.splitlines()
    assert first.endswith("now has version 0002.")
    assert second.endswith("already has version 0002.")
    assert ready.endswith("is ready.")
    assert [line.split() for line in status[2:]] == [
        ["conversations", "0"], ["turns", "0"], ["attachments", "0"], ["responses", "0"],
        ["cached_responses", "0"], ["deletions", "0"],
    ]  # fmt: skip


def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text('[storage]\nurl = "postgresql+asyncpg://ann:hunter2@127.0.0.1:1/chats"\n')

    assert run("check", str(config)) == 1
    errors = capsys.readouterr().err
    assert "aimanager-server: The database postgresql+asyncpg://ann:***@127.0.0.1:1/chats cannot be used" in errors
    assert "hunter2" not in errors


def test_a_new_key_encrypts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["storage", "key"], {}) == 0

    file = tmp_path / "keys"
    file.write_text(capsys.readouterr().out)
    cipher = cipher_of(file)
    name, encrypted = cipher.encrypt(b"secret", b"here")
    assert cipher.decrypt(name, encrypted, b"here") == b"secret"


def test_keys_of_one_day_have_different_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["storage", "key"], {})
    main(["storage", "key"], {})

    file = tmp_path / "keys"
    file.write_text(capsys.readouterr().out)
    first = file.read_text().partition(":")[0]
    assert cipher_of(file).name == f"aes-256-gcm:{first}"


def test_another_key_with_the_id_of_the_original_is_reported(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    run("migrate", config)
    Path(config).write_text(f'{Path(config).read_text()}encryption_key_file = "{keys}"\n')
    keys.write_text(original := new_key_line("old"))
    asyncio.run(store_conversation(StorageSettings(**tomllib.loads(Path(config).read_text())["storage"])))
    assert run("check", config) == 0
    keys.write_text(new_key_line("old"))
    capsys.readouterr()

    for action in ("check", "status", "reencrypt"):
        assert run(action, config) == 1
        printed = capsys.readouterr()
        assert "Values encrypted with key old cannot be read" in printed.err
        assert ("key old" in printed.out) == (action == "status")
    keys.write_text(f"{new_key_line('new')}\n{original}")
    assert [run("check", config), run("status", config), run("reencrypt", config)] == [0, 0, 0]


def test_values_are_encrypted_again_with_the_first_key(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    run("migrate", config)
    assert run("reencrypt", config) == 1
    assert "storage.encryption_key_file is not set" in capsys.readouterr().err
    with open(config, "a") as file:
        file.write(f'encryption_key_file = "{keys}"\n')
    keys.write_text(new_key_line("old"))
    asyncio.run(store_conversation(StorageSettings(**tomllib.loads(Path(config).read_text())["storage"])))
    keys.write_text(f"{new_key_line('new')}\n{keys.read_text()}")

    assert run("status", config) == 0
    assert ["key", "old", "2"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert run("reencrypt", config) == 0
    assert "Encrypted 2 values again, with key new. No value needs another key" in capsys.readouterr().out
    keys.write_text(new_key_line("newest"))
    assert run("reencrypt", config) == 1
    assert "2 values are left: 2 with key new. 2 of them cannot be read" in capsys.readouterr().err


async def store_conversation(settings: StorageSettings) -> None:
    """Store a conversation of one turn with the key file of the settings."""
    async with database(settings.plain_url) as opened:
        cipher = cipher_of(settings.encryption_key_file)
        await SqlConversations(opened, cipher, SqlAttachments(opened, cipher)).create(conversation(), [turn(0)])


def test_without_a_database_there_is_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text("")

    assert run("status", str(config)) == 0
    assert "memory" in capsys.readouterr().out


def test_a_password_is_not_accepted_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--set", "storage.url=postgresql+asyncpg://ann:hunter2@host/chats"], {})

    assert "hunter2" not in capsys.readouterr().err


def test_the_quickstart_keeps_conversations_in_the_state_directory(tmp_path: Path) -> None:
    url = user_database_url({"XDG_STATE_HOME": str(tmp_path)})

    assert url == f"sqlite+aiosqlite:///{tmp_path}/aimanager/conversations.db"
    assert (tmp_path / "aimanager").stat().st_mode & 0o777 == 0o700
