"""A primary that is gone for a while, with a fallback beside it: every call is answered, and few are wasted."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

from tests.chaos.environment import House
from tests.chaos.report import Report
from tests.chaos.requests import Asking, Told
from tests.integration.faults.fault_catalog import refuses, says
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import TEXT

EVERY_SECONDS = 4.0
BACK_SECONDS = 5.0
OPENS_AFTER = 5
"""Failures in a row that open a circuit."""

DOWN = refuses(503)


class Fallen(Upstream):
    """A primary that can fall and rise again."""

    def __init__(self, name: str) -> None:
        super().__init__(says())
        self.name = name
        self._list = self.listing

    def falls(self, *, with_its_list: bool) -> None:
        """From now on it fails."""
        self.plays(DOWN)
        self.listing = DOWN if with_its_list else self._list

    def rises(self) -> None:
        """From now on it is well."""
        self.plays(says())
        self.listing = self._list


class Door:
    """A port that leads to another one while it is open, and refuses connections while it is not."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="door")
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Let connections in."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(5.0)

    def shut(self) -> None:
        """Break all connections, and let no more in."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(5.0)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", self.port)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = [asyncio.ensure_future(_pass(*way)) for way in ((reader, inner_writer), (inner_reader, writer))]
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, inner_writer):
            end.transport.abort()
        self._tasks.discard(task)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def outages(
    asking: Asking, house: House, fallen: list[Fallen], door: Door, seconds: float, report: Report
) -> None:
    """Let all of them fall for so long: with its list, without it, and off the network."""
    all_broken, list_answers, _ = fallen
    for one in fallen:
        await _call(asking, one, report)
    all_broken.falls(with_its_list=True)
    list_answers.falls(with_its_list=False)
    door.shut()
    known = {one.name: (len(one.requests), len(one.listings)) for one in fallen}
    told = await _during(asking, fallen, seconds, report)
    for one in (all_broken, list_answers):
        _judge(one, known[one.name], told[one.name], report)
        one.rises()
    tried = sum(one.asked("refusing") for one in told["refusing"])
    report.at_most("outage: refusing: attempts, as told", tried, OPENS_AFTER + 1)
    door.open()
    await asyncio.gather(*(_back(asking, one, report) for one in fallen))


async def _during(asking: Asking, fallen: list[Fallen], seconds: float, report: Report) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = {one.name: [] for one in fallen}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        came = await asyncio.gather(*(_call(asking, one, report) for one in fallen))
        for one, what in zip(fallen, came, strict=True):
            told[one.name].append(what)
        await asyncio.sleep(min(EVERY_SECONDS, max(ends - time.monotonic(), 0.0)))
    return told


async def _call(asking: Asking, primary: Fallen, report: Report) -> Told:
    told = await asking.told(asking.call(f"{primary.name}/m", "spare/m"))
    if told.text != TEXT:
        report.violated(f"outage: {primary.name}: a call was not answered: {told}")
    return told


def _judge(one: Fallen, known: tuple[int, int], told: list[Told], report: Report) -> None:
    attempts = len(one.requests) - known[0]
    probes = one.listings[known[1] :]
    trials = 0 if one.listing is DOWN else len(probes)
    report.told(f"outage: {one.name}: calls", len(told))
    report.told(f"outage: {one.name}: probes", len(probes))
    report.at_most(f"outage: {one.name}: attempts", attempts, OPENS_AFTER + trials)
    report.at_most(f"outage: {one.name}: attempts of one call", max(call.asked(one.name) for call in told), 3)
    report.at_most(f"outage: {one.name}: slowest answer, s", max(call.seconds for call in told), 2.5)
    gaps = [later.at - earlier.at for earlier, later in pairwise(probes)]
    if gaps and one.listing is DOWN:
        report.at_least(f"outage: {one.name}: shortest time between probes, s", min(gaps), 3.6 - 0.1)
        report.at_most(f"outage: {one.name}: longest time between probes, s", max(gaps), 4.4 + 0.1)


async def _back(asking: Asking, one: Fallen, report: Report) -> None:
    """From the recovery on: who answers, up to a second after the primary does again."""
    began, answers = time.monotonic(), list[tuple[float, Any]]()
    while time.monotonic() < began + 2 * BACK_SECONDS:
        sent = time.monotonic() - began
        told = await _call(asking, one, report)
        answers.append((sent, told.provider))
        await asyncio.sleep(0.25)
    others = [sent for sent, provider in answers if provider != one.name]
    report.at_most(f"outage: {one.name}: last answer of the fallback after recovery, s", max(others, default=0), 5.0)
