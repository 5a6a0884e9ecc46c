"""Sources of events in batches, and observers that record what they see."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aimanager_server.core.response import (
    Event,
    ResponseMetadata,
    TextDelta,
)
from aimanager_server.core.stream import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    StreamObserver,
)
from aimanager_server.core.usage import Usage
from tests.support.upstream import USAGE

HEL, LO = TextDelta(0, "Hel"), TextDelta(0, "lo")


def metadata() -> ResponseMetadata:
    return ResponseMetadata("call-1", "mock/latest", "mock", "mock-large")


class Batches:
    """A source of events: each item is a batch or an error; after the last one, reads wait forever or end."""

    def __init__(self, *batches: list[Event] | BaseException, waits: bool = False) -> None:
        self._batches = list(batches)
        self._waits = waits
        self.buffered: Sequence[Event] = ()
        self.closed = 0
        self.cancelled = 0

    async def read(self) -> list[Event]:
        if not self._batches and self._waits:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        batch: list[Event] | BaseException = self._batches.pop(0) if self._batches else []
        if isinstance(batch, BaseException):
            raise batch
        return list(batch)

    async def aclose(self) -> None:
        self.closed += 1

    def usage_so_far(self) -> Usage | None:
        return USAGE


class Observer(StreamObserver):
    """Records what it sees in `log`, with its name."""

    def __init__(self, log: list[tuple[str, object]], name: str = "") -> None:
        self._log = log
        self._name = name

    def on_events(self, events: list[Event]) -> None:
        self._log.append((self._name, list(events)))

    def on_end(self, outcome: Outcome) -> None:
        self._log.append((self._name, outcome))


def outcomes(log: list[tuple[str, object]]) -> list[object]:
    return [entry for _, entry in log if isinstance(entry, Completed | Failed | Cancelled)]
