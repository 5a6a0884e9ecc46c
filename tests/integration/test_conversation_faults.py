"""No turn is lost and none is doubled when the server is killed or the database goes away."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import grpc

from tests.integration.faults.gateway import wait_until
from tests.integration.test_conversations import Client, reason, settings
from tests.support.gateway import started_gateway
from tests.support.postgresql import PostgreSQL
from tests.support.server_process import server_process
from tests.support.tokens import token_of, token_settings

LEASE_SECONDS = 1.0


def test_a_killed_server_keeps_complete_turns_and_frees_the_conversation(tmp_path: Path) -> None:
    options = ("--config", str(config_file(tmp_path)))
    with server_process(*options) as server, grpc.insecure_channel(server.target) as channel:
        alice = Client(channel)
        started = alice.create()
        alice.ask(started.id, "[[reply: One]]")
        stream = alice.stream(started.id, "[[words: 9]] [[stall: 5]]")
        while not next(stream).delta.text:
            pass
        server.stop(signal.SIGKILL)
        assert fails(lambda: list(stream))

    with server_process(*options) as server, grpc.insecure_channel(server.target) as channel:
        alice = Client(channel)
        wait_until(lambda: is_free(alice, started.id))

        assert alice.texts(started.id) == [["[[reply: One]]", "One"], ["[[reply: Two]]", "Two"]]


def config_file(folder: Path) -> Path:
    token = token_settings(token_of("alice"))
    path = folder / "aimanager.toml"
    path.write_text(
        f'[callers.alice]\ntokens = [{{ id = "{token["id"]}", sha256 = "{token["sha256"]}" }}]\n'
        f'[storage]\nurl = "sqlite+aiosqlite:///{folder}/store.db"\n'
        f"[conversations]\nlease_seconds = {LEASE_SECONDS}\n"
    )
    return path


def is_free(client: Client, conversation_id: str) -> bool:
    """Add a turn, and return whether the conversation was free."""
    try:
        client.ask(conversation_id, "[[reply: Two]]")
    except grpc.RpcError:
        return False
    return True


def test_a_database_that_goes_away_in_mid_stream_loses_and_doubles_nothing(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    leases = {"lease_seconds": 3 * LEASE_SECONDS}  # renewed also on a busy machine
    with (
        started_gateway(settings(postgresql_url, conversations=leases)) as target,
        grpc.insecure_channel(target) as channel,
    ):
        alice = Client(channel)
        started = alice.create()
        alice.ask(started.id, "[[reply: One]]")
        stream = alice.stream(started.id, "[[words: 20]] [[rate: 20]]")
        while not next(stream).delta.text:
            pass
        postgresql.stop()
        try:
            failures = [reason(lambda: list(stream)), reason(lambda: alice.get(started.id))]
        finally:
            postgresql.start()
        wait_until(lambda: not fails(lambda: alice.get(started.id)))
        wait_until(lambda: is_free(alice, started.id), timeout=60.0)

        turns = alice.turns(started.id)
        assert failures == ["STORAGE_UNAVAILABLE"] * 2
        assert [turn.messages[-1].parts[0].text for turn in turns if not turn.interrupted] == ["One", "Two"]
        assert [turn.number for turn in turns] == list(range(len(turns)))


def fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError:
        return True
    return False
