"""Servers that start at once, and databases that cannot be used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from aimanager_server.config.settings import Settings
from aimanager_server.config.storage import StorageSettings
from aimanager_server.storage.file_systems import network_file_system
from aimanager_server.storage.opening import open_storage
from aimanager_server.telemetry.response_cache_metrics import ResponseCacheMetrics
from tests.storage.stores import Clock
from tests.support.postgresql import PostgreSQL

SERVERS = 4


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_servers_that_start_at_once_migrate_an_empty_database_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.db"
    if kind == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.new_database()
    settings = Settings(storage=StorageSettings(url=SecretStr(url)))
    metrics = ResponseCacheMetrics(CollectorRegistry())
    stores = [open_storage(settings, metrics, Clock(), Clock()) for _ in range(SERVERS)]

    try:
        await asyncio.gather(*(store.prepare() for store in stores))
        created = await asyncio.gather(*(store.conversations.count("alice") for store in stores))
    finally:
        for store in stores:
            await store.aclose()

    assert created == [0] * SERVERS


@pytest.mark.parametrize(
    ("mounts", "file", "found"),
    [
        ("/dev/sda / ext4 rw 0 0\nnas:/data /data nfs4 rw 0 0\n", "/data/a/store.db", "nfs4"),
        ("/dev/sda / ext4 rw 0 0\nnas:/data /data nfs4 rw 0 0\n/dev/sdb /data/a xfs rw 0 0\n", "/data/a/store.db", ""),
        ("/dev/sda / ext4 rw 0 0\nnas:/data /my\\040data cifs rw 0 0\n", "/my data/store.db", "cifs"),
        ("nas:/ / nfs rw 0 0\ntoo short\n", "/data/store.db", "nfs"),
        ("/dev/sda / ext4 rw 0 0\nnas:/data /data nfs4 rw 0 0\n", "/database/store.db", ""),
    ],
)
def test_a_file_on_a_network_file_system_is_recognized(tmp_path: Path, mounts: str, file: str, found: str) -> None:
    table = tmp_path / "mounts"
    table.write_text(mounts)

    assert network_file_system(Path(file), table) == found


def test_without_a_list_of_mounts_a_file_counts_as_local(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "missing") == ""
