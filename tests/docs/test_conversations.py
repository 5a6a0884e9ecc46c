"""docs/conversations.md: its commands work, and its figures are those of the settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aimanager_server.config.storage import ConversationsSettings, StorageSettings
from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks, run_python
from tests.support.gateway import settings_with, started_gateway

RUNS = {("conversations.md", "python"): "test_python_block_prints_what_its_comments_say"}
COMMANDS = {
    "aimanager conversations": "tests/client/cli/test_conversations.py::test_conversations_are_a_table",
    "aimanager conversations show ID": "tests/client/cli/test_conversations.py::test_a_conversation_is_shown",
    "aimanager conversations export ID trip.json": (
        "tests/client/cli/test_conversations.py::test_a_conversation_is_exported_and_imported"
    ),
    "aimanager conversations import trip.json": (
        "tests/client/cli/test_conversations.py::test_a_conversation_is_exported_and_imported"
    ),
    "aimanager conversations delete ID": "tests/client/cli/test_conversations.py::test_a_conversation_is_deleted",
    "aimanager-server storage check": "tests/commands/test_storage.py::test_a_database_is_migrated_once",
    "aimanager-server storage migrate": "tests/commands/test_storage.py::test_a_database_is_migrated_once",
    "aimanager-server storage status": "tests/commands/test_storage.py::test_a_database_is_migrated_once",
    "aimanager-server storage key": "tests/commands/test_storage.py::test_a_new_key_encrypts",
    "aimanager-server storage reencrypt": (
        "tests/commands/test_storage.py::test_values_are_encrypted_again_with_the_first_key"
    ),
}


def test_the_page_states_the_defaults() -> None:
    page = " ".join((DOCS / "conversations.md").read_text("utf-8").split())

    assert ConversationsSettings().idle_ttl_seconds == 90 * 86_400
    assert "90 days after its last use" in page
    assert StorageSettings().idle_memory_seconds == 3_600
    assert "an hour after its last use" in page


@pytest.mark.parametrize("block", code_blocks("conversations.md", "python"), ids=str)
def test_python_block_prints_what_its_comments_say(
    block: CodeBlock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with started_gateway(settings_with()) as target:
        printed = run_python(block, target)

    expected = re.findall(r"^\s*print\(.*\)  # (.+)$", block.text, re.MULTILINE)
    assert [line for line in printed.splitlines() if line in expected] == expected, printed
