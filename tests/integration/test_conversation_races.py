"""Concurrent, failing, expired and unreadable: what callers see, and what the database keeps."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from aimanager.v1.conversation_pb2 import CompactConversationRequest
from aimanager.v1.generation_pb2 import GenerateRequest
from aimanager_server.storage.encryption import new_key_line
from tests.integration.test_conversations import FOREIGN, MODEL, Client, reason, settings, user
from tests.support.gateway import settings_with, started_gateway
from tests.support.tokens import callers

WRITERS = 40


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_forty_concurrent_writers_each_adds_a_turn_or_learns_that_it_did_not(
    kind: str, request: pytest.FixtureRequest, database: Path
) -> None:
    url = sqlite(database) if kind == "sqlite" else str(request.getfixturevalue("postgresql_url"))
    with started_gateway(settings(url)) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)
        started = alice.create()
        calls = [
            alice.generation.Generate.future(
                GenerateRequest(
                    model=MODEL, messages=[user(f"[[reply: Answer {number}]]")], conversation_id=started.id
                ),
                metadata=alice.metadata,
            )
            for number in range(WRITERS)
        ]
        failures: list[Any] = [call.exception() for call in calls]
        added = sorted(turn.messages[-1].parts[0].text for turn in alice.turns(started.id))
        numbers = [turn.number for turn in alice.turns(started.id)]

    assert {failure.code() for failure in failures if failure is not None} <= {grpc.StatusCode.ABORTED}
    assert added == sorted(f"Answer {number}" for number, failure in enumerate(failures) if failure is None)
    assert numbers == list(range(len(added)))
    assert added


def test_a_summary_model_that_fails_changes_nothing(database: Path) -> None:
    unreachable = {"wire": "chat_completions", "base_url": "http://127.0.0.1:1/v1", "api_key": "k", "models": ["m"]}
    tables: dict[str, Any] = {"storage": {"url": sqlite(database)}, "retry": {"max_attempts": 1}}
    gateway = settings_with(providers={"mock": {}, "closed": unreachable}, callers=callers("alice"), **tables)
    with started_gateway(gateway) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)
        started = alice.create()
        for number in range(3):
            alice.ask(started.id, f"[[reply: Answer {number}]]")
        before, turns = alice.get(started.id), alice.turns(started.id)

        failed = reason(
            lambda: alice.call(
                "CompactConversation",
                CompactConversationRequest(conversation_id=started.id, keep_turns=0, model="closed/m"),
            )
        )

        assert failed == "PROVIDER_UNREACHABLE"
        assert (alice.get(started.id), alice.turns(started.id)) == (before, turns)
        assert alice.ask(started.id, "[[reply: Still free]]").message.parts[0].text == "Still free"


def test_an_expired_id_is_not_found_by_any_rpc(database: Path) -> None:
    with started_gateway(settings(sqlite(database))) as target, grpc.insecure_channel(target) as channel:
        alice = Client(channel)
        started = alice.create()
        alice.ask(started.id, "Hello")
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE conversations SET expires_at = 1")

        reasons = {method: reason(partial(alice.call, method, build(started.id))) for method, build in FOREIGN.items()}

        assert set(reasons.values()) == {"CONVERSATION_NOT_FOUND"}
        assert reason(lambda: alice.ask(started.id, "Hello")) == "CONVERSATION_NOT_FOUND"


def test_a_wrong_key_is_an_error_of_the_conversations_that_it_cannot_read(database: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    table = {"url": sqlite(database), "encryption_key_file": str(keys)}
    created = []
    for _ in range(2):
        keys.write_text(new_key_line("only"))  # the same id, another key
        gateway = settings_with(providers={"mock": {}}, callers=callers("alice"), storage=table)
        with started_gateway(gateway) as target, grpc.insecure_channel(target) as channel:
            alice = Client(channel)
            created.append(alice.create(title="A chat"))
            alice.ask(created[-1].id, "Hello")
            failures = [reason(partial(alice.get, one.id)) for one in created[:-1]]
            failures += [reason(partial(alice.ask, one.id, "Hello")) for one in created[:-1]]
            readable = alice.get(created[-1].id)

    assert failures == ["STORAGE_UNAVAILABLE"] * 2
    assert (readable.title, readable.turn_count) == ("A chat", 1)


def sqlite(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"
