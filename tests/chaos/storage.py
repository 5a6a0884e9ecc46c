"""A database that stops and starts under load: no turn is lost or doubled, and none reaches a foreign conversation."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import grpc
import pytest

from tests.chaos.report import Report
from tests.integration.test_conversations import Client, reason, settings
from tests.support.gateway import started_gateway
from tests.support.postgresql import PostgreSQL, postgresql_server

CALLERS = ("alice", "alice", "alice", "bob", "bob", "bob")
"""The caller of each writer, which has a conversation of its own."""

UP_SECONDS, DOWN_SECONDS = 2.0, 1.0
RECOVERY_SECONDS = 15.0
PAUSE_SECONDS = 0.02


@dataclass
class Writer:
    """One conversation, and the answers that its caller received."""

    client: Client
    conversation_id: str
    name: str
    complete: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    def write(self, ended: threading.Event) -> None:
        """Add one turn after the other, every other one as a stream, until `ended` is set."""
        while not ended.wait(PAUSE_SECONDS):
            self.ask()

    def ask(self) -> bool:
        """Add a turn, and return whether the caller received the complete answer."""
        self.sent += 1
        answer = f"{self.name} {self.sent}"
        try:
            if self.sent % 2:
                self.client.ask(self.conversation_id, f"[[reply: {answer}]]")
            elif not any(
                one.HasField("completed") for one in self.client.stream(self.conversation_id, f"[[reply: {answer}]]")
            ):
                return False
        except grpc.RpcError as error:
            self.failures[error.code().name] += 1
            return False
        self.complete.append(answer)
        return True


def storage(seconds: float) -> Report:
    """Stop and start PostgreSQL under load. Reports that it was skipped where PostgreSQL is not installed."""
    report = Report()
    try:
        with postgresql_server() as server:
            _run(server, seconds, report)
    except pytest.skip.Exception:
        report.record("storage: skipped, PostgreSQL is not installed", 0.0)
    return report


def _run(server: PostgreSQL, seconds: float, report: Report) -> None:
    configured = settings(server.new_database(), conversations={"lease_seconds": 1.0})
    with started_gateway(configured) as target, grpc.insecure_channel(target) as channel:
        clients = {name: Client(channel, name) for name in set(CALLERS)}
        writers = [
            Writer(clients[name], clients[name].create().id, f"{name}-{number}") for number, name in enumerate(CALLERS)
        ]
        outages = _load(server, writers, seconds)
        started_at = time.monotonic()
        while not all([writer.ask() for writer in writers]) and time.monotonic() < started_at + 2 * RECOVERY_SECONDS:
            time.sleep(0.1)
        report.record("storage: outages", outages)
        report.at_most(
            "storage: seconds until every conversation works", time.monotonic() - started_at, RECOVERY_SECONDS
        )
        report.record("storage: turns", sum(len(writer.complete) for writer in writers))
        failures = sum((writer.failures for writer in writers), Counter[str]())
        report.at_least("storage: failed calls", failures.total(), 1)
        for code in failures.keys() - {"UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED"}:
            report.violation(f"storage: {failures[code]} calls failed with {code}")
        for writer in writers:
            _check(writer, clients, report)


def _load(server: PostgreSQL, writers: list[Writer], seconds: float) -> int:
    """Return how often the database was stopped."""
    ended, outages = threading.Event(), 0
    with ThreadPoolExecutor(len(writers)) as pool:
        running = [pool.submit(writer.write, ended) for writer in writers]
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(UP_SECONDS)
                server.stop()
                outages += 1
                try:
                    time.sleep(DOWN_SECONDS)
                finally:
                    server.start()
        finally:
            ended.set()
        for one in running:
            one.result()
    return outages


def _check(writer: Writer, clients: dict[str, Client], report: Report) -> None:
    turns = writer.client.turns(writer.conversation_id)
    stored = Counter(turn.messages[-1].parts[0].text for turn in turns if not turn.interrupted)
    if [turn.number for turn in turns] != list(range(len(turns))):
        report.violation(f"storage: {writer.name}: numbers of turns: {[turn.number for turn in turns]}")
    for answer in writer.complete:
        if not stored[answer]:
            report.violation(f"storage: {writer.name}: lost turn {answer!r}")
    for answer, count in stored.items():
        if count > 1:
            report.violation(f"storage: {writer.name}: {count} turns {answer!r}")
        if answer.rpartition(" ")[0] != writer.name:
            report.violation(f"storage: {writer.name}: foreign turn {answer!r}")
    for client in clients.values():
        if client is not writer.client:
            found = reason(partial(client.get, writer.conversation_id))
            if found != "CONVERSATION_NOT_FOUND":
                report.violation(f"storage: {writer.name}: a foreign caller received {found!r}")
