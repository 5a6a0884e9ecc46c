"""Write the messages of one stream: number them, and send a heartbeat whenever the stream is idle."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aimanager.v1.generation_pb2 import StreamGenerateResponse

from .context import Rpc
from .convert.responses import stream_heartbeat

HEARTBEAT_FLUSH_SECONDS = 1.0
"""How long a heartbeat in flight may take to complete once the stream ended."""


class StreamWriter:
    """Write one stream; used as a context manager.

    A timer fires every `heartbeat_interval` seconds and checks whether anything was written since. A write therefore
    costs no timer and no task, and the stream's pending read is never cancelled. One message at a time is in flight.
    """

    __slots__ = (
        "_heartbeat", "_interval", "_last_write", "_loop", "_rpc", "_sequence", "_start", "_timer", "_writing"
    )  # fmt: skip

    def __init__(self, rpc: Rpc, heartbeat_interval: float) -> None:
        self._rpc = rpc
        self._interval = heartbeat_interval
        self._loop = asyncio.get_running_loop()
        self._start = self._last_write = self._loop.time()
        self._sequence = 0
        self._writing = False
        self._heartbeat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(heartbeat_interval, self._check_idle)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        heartbeat = self._heartbeat
        if heartbeat is not None:
            # If cancelled while the headers are sent, gRPC would send them again with the status.
            await asyncio.wait({heartbeat}, timeout=HEARTBEAT_FLUSH_SECONDS)
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)

    async def send(self, message: StreamGenerateResponse) -> None:
        """Number a message and write it, after a heartbeat in flight. Raises that heartbeat's failure, if any."""
        self._writing = True
        if self._heartbeat is not None:
            await self._heartbeat
        await self._write(message)
        self._writing = False

    async def _write(self, message: StreamGenerateResponse) -> None:
        message.sequence = self._sequence
        self._sequence += 1
        await self._rpc.write(message)
        self._last_write = self._loop.time()

    def _check_idle(self) -> None:
        remaining = self._last_write + self._interval - self._loop.time()
        if remaining <= 0:
            remaining = self._interval
            if self._heartbeat is None and not self._writing:
                self._heartbeat = self._loop.create_task(self._send_heartbeat())
        self._timer = self._loop.call_later(remaining, self._check_idle)

    async def _send_heartbeat(self) -> None:
        # A failed heartbeat stays in `_heartbeat`, so that the next `send` raises its error.
        await self._write(stream_heartbeat(self._loop.time() - self._start))
        self._heartbeat = None
