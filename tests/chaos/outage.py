"""Outages of a primary with a fallback: every call succeeds, and few attempts are spent on the primary."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Self

from tests.chaos.report import Report
from tests.chaos.requests import CallResult, Client
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.upstream import Upstream, list_models
from tests.integration.faults.wires import TEXT

CALL_INTERVAL_SECONDS = 4.0
RECOVERY_SECONDS = 5.0
FAILURE_THRESHOLD = 5
"""Consecutive failures that open a breaker by default."""

DOWN = fails(503)


class Primary(Upstream):
    """An upstream with outages."""

    def __init__(self, name: str) -> None:
        super().__init__(responds(), name=name)

    def go_down(self, *, with_probes: bool) -> None:
        """Fail all requests, and all probes if `with_probes`."""
        self.set_script(DOWN)
        self.probe_responder = DOWN if with_probes else list_models

    def recover(self) -> None:
        """Respond to all requests."""
        self.set_script(responds())
        self.probe_responder = list_models


class PortForwarder:
    """A port that forwards connections to another port while it is open, and refuses them while it is closed."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="forwarder")
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Accept connections."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(5.0)

    def close(self) -> None:
        """Abort all connections and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5.0)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        directions = [
            asyncio.ensure_future(_copy(*ends))
            for ends in ((reader, upstream_writer), (upstream_reader, writer))
        ]  # fmt: skip
        with suppress(asyncio.CancelledError):
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()
        for end in (writer, upstream_writer):
            end.transport.abort()
        self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def outages(
    client: Client, primaries: list[Primary], forwarder: PortForwarder, seconds: float, report: Report
) -> None:
    """Take the primaries down for `seconds`: with failing probes, with successful probes, and unreachable."""
    probes_fail, probes_succeed, _ = primaries
    for primary in primaries:
        await _call(client, primary, report)
    probes_fail.go_down(with_probes=True)
    probes_succeed.go_down(with_probes=False)
    forwarder.close()
    counts_before = {primary.name: (len(primary.requests), len(primary.probes)) for primary in primaries}
    results = await _call_repeatedly(client, primaries, seconds, report)
    for primary in (probes_fail, probes_succeed):
        _check(primary, counts_before[primary.name], results[primary.name], report)
        primary.recover()
    attempts = sum(result.attempts_at("unreachable") for result in results["unreachable"])
    report.at_most("outage: unreachable: attempts, as reported", attempts, FAILURE_THRESHOLD + 1)
    forwarder.open()
    await asyncio.gather(*(_check_recovery(client, primary, report) for primary in primaries))


async def _call_repeatedly(
    client: Client, primaries: list[Primary], seconds: float, report: Report
) -> dict[str, list[CallResult]]:
    results: dict[str, list[CallResult]] = {primary.name: [] for primary in primaries}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        batch = await asyncio.gather(*(_call(client, primary, report) for primary in primaries))
        for primary, result in zip(primaries, batch, strict=True):
            results[primary.name].append(result)
        await asyncio.sleep(min(CALL_INTERVAL_SECONDS, max(end - time.monotonic(), 0.0)))
    return results


async def _call(client: Client, primary: Primary, report: Report) -> CallResult:
    result = await client.result(client.generate(primary.model, "spare/m"))
    if result.text != TEXT:
        report.violation(f"outage: {primary.name}: failed call: {result}")
    return result


def _check(primary: Primary, counts_before: tuple[int, int], results: list[CallResult], report: Report) -> None:
    requests_before, probes_before = counts_before
    attempts = len(primary.requests) - requests_before
    probes = primary.probes[probes_before:]
    trials = 0 if primary.probe_responder is DOWN else len(probes)
    name = f"outage: {primary.name}"
    report.record(f"{name}: calls", len(results))
    report.record(f"{name}: probes", len(probes))
    report.at_most(f"{name}: attempts", attempts, FAILURE_THRESHOLD + trials)
    report.at_most(f"{name}: attempts of one call", max(one.attempts_at(primary.name) for one in results), 3)
    report.at_most(f"{name}: slowest response, s", max(one.seconds for one in results), 2.5)
    gaps = [later.received_at - earlier.received_at for earlier, later in pairwise(probes)]
    if gaps and primary.probe_responder is DOWN:
        report.at_least(f"{name}: shortest time between probes, s", min(gaps), 3.6 - 0.1)
        report.at_most(f"{name}: longest time between probes, s", max(gaps), 4.4 + 0.1)


async def _check_recovery(client: Client, primary: Primary, report: Report) -> None:
    """Check how long after the recovery the fallback still serves calls."""
    recovered_at, served = time.monotonic(), list[tuple[float, str]]()
    while time.monotonic() < recovered_at + 2 * RECOVERY_SECONDS:
        sent_at = time.monotonic() - recovered_at
        result = await _call(client, primary, report)
        served.append((sent_at, result.provider))
        await asyncio.sleep(0.25)
    by_fallback = [sent_at for sent_at, provider in served if provider != primary.name]
    last = max(by_fallback, default=0.0)
    report.at_most(f"outage: {primary.name}: last call served by the fallback, s", last, RECOVERY_SECONDS)
