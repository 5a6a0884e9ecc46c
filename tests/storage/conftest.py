from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aimanager_server.config.storage import StorageSettings
from aimanager_server.storage.encryption import cipher_of, new_key_line
from aimanager_server.storage.memory_conversations import MemoryConversations
from aimanager_server.storage.sql.attachments import SqlAttachments
from aimanager_server.storage.sql.conversations import SqlConversations
from tests.storage.stores import Clock, Stores, database


@pytest.fixture(params=["memory", "sqlite", "sqlite-encrypted", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """One kind of store, empty."""
    kind, _, encrypted = request.param.partition("-")
    clock = Clock()
    if kind == "memory":
        memory = MemoryConversations(StorageSettings(idle_memory_seconds=864_000.0), clock)
        yield Stores(memory, memory, clock)
        return
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db" if kind == "sqlite" else request.getfixturevalue("postgresql_url")
    key_file = tmp_path / "keys"
    key_file.write_text(new_key_line("first"))
    cipher = cipher_of(key_file if encrypted else None)
    async with database(url) as opened:
        attachments = SqlAttachments(opened, cipher)
        yield Stores(SqlConversations(opened, cipher, attachments, clock), attachments, clock, opened)
