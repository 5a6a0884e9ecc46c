"""One call of a provider, and the callers that share its response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from ..core.errors import DeadlineExceeded, GatewayError, StreamInterrupted
from ..core.handler import CallHandler
from ..core.request import Call
from ..core.response import CacheStatus, Event, Finished, ResponseMetadata, Restarted, SettingWarning
from ..core.stream import ResponseStream
from ..core.usage import Usage
from .event_log import EventLog, LogMemory

MAX_SHARED_SECONDS = 3600.0
"""How much later than that of the first caller the deadline of one that joins may be."""


class SharedCall:
    """Reads a response into a log in a task of its own. Its callers come and go; after the last one it is cancelled.

    The deadline of the call that is sent is beyond that of all callers, who keep to their own. Retries are decided by
    the latest deadline of the callers that are left.
    """

    def __init__(self, call: Call, memory: LogMemory, on_closed: Callable[[SharedCall], None]) -> None:
        self.call = replace(call, deadline=call.deadline + MAX_SHARED_SECONDS, latest_deadline=self._latest_deadline)
        self.log = EventLog(memory)
        self.metadata: ResponseMetadata | None = None
        self.failure: Exception | None = None
        self.stream: ResponseStream | None = None
        self.loop = asyncio.get_running_loop()  # once, since each look-up is a system call
        self._on_closed = on_closed
        self._has_ended = False
        self._readers: set[_Reader] = set()
        self._waiting: set[_Reader] = set()
        self._blocked: asyncio.Future[None] | None = None

    def covers(self, call: Call) -> bool:
        """Return whether the response may last until the deadline of another call."""
        return call.deadline <= self.call.deadline

    def start(self, proceed: CallHandler) -> None:
        """Start to read the response."""
        self._task = self.loop.create_task(self._read_all(proceed))

    async def join(self, call: Call, on_left: Callable[[], None]) -> ResponseStream:
        """Return the response for one more caller, once its first content has arrived. Raises GatewayError."""
        reader = _Reader(self, call, on_left, pays=not self._readers)
        self._readers.add(reader)
        try:
            metadata = await reader.begin()
        except BaseException:
            await reader.aclose()
            raise
        return ResponseStream(metadata, reader)

    async def leave(self, reader: _Reader) -> None:
        """Remove a caller; after the last one, cancel the call and wait until it has ended."""
        self._readers.discard(reader)
        self.log.drop(reader.cursor)
        self.unblock()
        if not self._readers and not self._has_ended:
            self._end(None)
            self._task.cancel()
            await asyncio.wait({self._task})

    def add_waiting(self, reader: _Reader) -> None:
        """Wake a reader at the next change."""
        self._waiting.add(reader)
        self.unblock()

    def unblock(self) -> None:
        """Let the task look whether a full log has room again, or whether others wait now."""
        blocked, self._blocked = self._blocked, None
        if blocked is not None and not blocked.done():
            blocked.set_result(None)

    async def _read_all(self, proceed: CallHandler) -> None:
        try:
            stream = self.stream = await proceed(self.call)
            self.metadata = stream.metadata
            self._wake_all()
            try:
                while events := await stream.read():
                    self._append(events)
                    while self.log.is_full and not self._has_ended:
                        await self._make_room()
            finally:
                await stream.aclose()
        except Exception as error:
            self._end(error)
        except BaseException as error:
            if not self._has_ended:  # not cancelled by `leave`
                failure = RuntimeError("The shared call was cancelled.")
                failure.__cause__ = error
                self._end(failure)
            raise

    def _append(self, events: list[Event]) -> None:
        self.log.append(events)
        if type(events[-1]) is Finished:
            self._end(None)
            return
        if self.log.is_full and not self.log.is_sealed:
            self._close()
        self._wake_all()

    async def _make_room(self) -> None:
        """Wait for the slowest reader, unless others wait for the provider: then continue without those that lag."""
        if self._waiting:
            self.log.drop_laggards()
            self._wake_all()
        else:
            self._blocked = self.loop.create_future()
            await self._blocked

    def _end(self, failure: Exception | None) -> None:
        self.failure, self._has_ended = failure, True
        self._close()
        self._wake_all()

    def _close(self) -> None:
        """Let nobody else join."""
        self.log.seal()
        self._on_closed(self)

    def _wake_all(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for reader in waiting:
            reader.wake()

    def _latest_deadline(self) -> float:
        return max((reader.call.deadline for reader in self._readers), default=self.call.deadline)


class _Reader:
    """What one caller reads: a source of events with a deadline of its own. `pays`: the call is counted as its own."""

    __slots__ = (
        "_copied_warnings", "_is_overdue", "_on_left", "_pays", "_shared", "_shared_metadata", "_timer", "_waiter",
        "call", "cursor", "metadata",
    )  # fmt: skip

    def __init__(self, shared: SharedCall, call: Call, on_left: Callable[[], None], *, pays: bool) -> None:
        self.call = call
        self.cursor = shared.log.open_cursor()
        self.metadata: ResponseMetadata | None = None
        self._shared = shared
        self._shared_metadata: ResponseMetadata | None = None
        self._copied_warnings = 0
        self._on_left: Callable[[], None] | None = on_left
        self._pays = pays
        self._is_overdue = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer = shared.loop.call_at(call.deadline, self._expire)

    @property
    def buffered(self) -> Sequence[Event]:
        """Return the events that this caller can read without waiting, of the next batch."""
        return self._shared.log.peek(self.cursor)

    async def begin(self) -> ResponseMetadata:
        """Return the metadata once the first content has arrived. Raises GatewayError."""
        if self._pays:
            await self._wait_for_metadata()
        else:
            with self.call.upstream_timer.measure():
                await self._wait_for_metadata()
        assert self._shared.metadata is not None
        return self._own(self._shared.metadata)

    async def read(self) -> list[Event]:
        """Return the next batch, after waiting for it. Raises GatewayError."""
        while (events := self._shared.log.read(self.cursor)) is None:
            await self._wait()
        self._shared.unblock()
        if isinstance(events[0], Restarted):  # always the first of its batch
            events[0] = Restarted(self._own(events[0].metadata))
        if type(last := events[-1]) is Finished:
            self._take_over_warnings()
            if not self._pays:
                events[-1] = self._free(last)
            await self.aclose()
        return events

    async def aclose(self) -> None:
        """Leave the call. Idempotent."""
        if self._on_left is not None:
            on_left, self._on_left = self._on_left, None
            self._timer.cancel()
            on_left()
            await self._shared.leave(self)

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported so far to the caller that pays."""
        stream = self._shared.stream
        return stream.usage_so_far() if self._pays and stream is not None else None

    def wake(self) -> None:
        """Look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait_for_metadata(self) -> None:
        while self._shared.metadata is None:
            await self._wait()

    async def _wait(self) -> None:
        """Wait for a change. Raises the reason why none can come."""
        if self._shared.failure is not None:
            self._fail(self._shared.failure)
        provider, model = self.call.target.key
        if self.cursor.is_dropped:
            message = "The caller reads its response too slowly, and other callers of the same response wait for it."
            raise StreamInterrupted(message, provider=provider, model=model)
        if self._is_overdue:
            message = "Deadline exceeded before the response was complete."
            raise DeadlineExceeded(message, provider=provider, model=model)
        waiter = self._waiter = self._shared.loop.create_future()
        self._shared.add_waiting(self)
        await waiter

    def _fail(self, failure: Exception) -> NoReturn:
        if not isinstance(failure, GatewayError):
            raise RuntimeError("The shared call failed.") from failure
        if self._pays:
            raise failure.replace()  # a copy, since each raise adds to the traceback
        raise failure.replace(attempts=(), usage=None, cost=None)

    def _expire(self) -> None:
        self._is_overdue = True
        self.wake()

    def _own(self, metadata: ResponseMetadata) -> ResponseMetadata:
        """Return the metadata of this caller's response, which layers change."""
        self._shared_metadata, self._copied_warnings = metadata, len(metadata.warnings)
        if self._pays:
            self.metadata = replace(metadata)
        else:
            self.metadata = replace(
                metadata, id=self.call.id, requested_model=self.call.requested_model, attempts=(),
                warnings=self._warnings(metadata), time_to_first_token=0.0, cache_status=CacheStatus.COALESCED,
            )  # fmt: skip
        return self.metadata

    def _take_over_warnings(self) -> None:
        """Add the warnings that arose while the response was read. Layers outside may have added others."""
        assert self._shared_metadata is not None
        assert self.metadata is not None
        later = self._shared_metadata.warnings[self._copied_warnings :]
        self.metadata.warnings = (*self.metadata.warnings, *later)

    def _warnings(self, metadata: ResponseMetadata) -> tuple[SettingWarning, ...]:
        """Return the warnings about this caller's options, and those that arose in the call."""
        key = metadata.provider, metadata.model
        own = _target_warnings(self.call, key)
        of_payer = _target_warnings(self._shared.call, key)
        return (*own, *(one for one in metadata.warnings if one not in of_payer and one not in own))

    def _free(self, finished: Finished) -> Finished:
        """Return the completion event of a caller whose response cost nothing, and note what was saved."""
        assert self.metadata is not None
        self.metadata.saved_cost = finished.cost
        return finished.without_cost(finished.latency)


def _target_warnings(call: Call, key: tuple[str, str]) -> tuple[SettingWarning, ...]:
    return next((target.warnings for target in call.targets if target.key == key), ())
