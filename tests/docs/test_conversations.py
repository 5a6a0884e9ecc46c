"""docs/conversations.md: its commands work, and its figures are those of the settings."""

from __future__ import annotations

from aimanager_server.config.storage import ConversationsSettings, StorageSettings
from tests.support.doc_blocks import DOCS

COMMANDS = {
    "aimanager-server storage check": "tests/commands/test_storage.py::test_a_database_is_migrated_once",
    "aimanager-server storage migrate": "tests/commands/test_storage.py::test_a_database_is_migrated_once",
    "aimanager-server storage status": "tests/commands/test_storage.py::test_a_database_is_migrated_once",
    "aimanager-server storage key": "tests/commands/test_storage.py::test_a_new_key_encrypts",
}


def test_the_page_states_the_defaults() -> None:
    page = " ".join((DOCS / "conversations.md").read_text("utf-8").split())

    assert ConversationsSettings().idle_ttl_seconds == 90 * 86_400
    assert "90 days after its last use" in page
    assert StorageSettings().idle_memory_seconds == 3_600
    assert "an hour after its last use" in page
