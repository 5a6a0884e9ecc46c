"""Writes one stream's events: numbers them, and breaks a silence with a heartbeat."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aimanager.v1.generation_pb2 import StreamGenerateResponse

from .context import Rpc
from .convert import responses as wire_write

PARTING_SECONDS = 1.0
"""How long a heartbeat that is on its way may take once the stream ended."""


class Outlet:
    """The way out of a stream, used as a context manager.

    A timer looks once an `interval` (seconds) whether anything was sent since: what is sent costs no timer and no
    task, and the read that the stream waits on is never touched. Only one message is ever on its way.
    """

    def __init__(self, rpc: Rpc, interval: float) -> None:
        self._rpc = rpc
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._began = self._spoke = self._loop.time()
        self._sequence = 0
        self._speaking = False
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(interval, self._listen)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        beat = self._beat
        if beat is not None:
            # Cancelled half-way through the headers, gRPC would send them again with the status.
            await asyncio.wait({beat}, timeout=PARTING_SECONDS)
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def send(self, message: StreamGenerateResponse) -> None:
        """Number a message and send it, after a heartbeat that is on its way."""
        self._speaking = True
        if self._beat is not None:
            await self._beat
        await self._write(message)
        self._speaking = False

    async def _write(self, message: StreamGenerateResponse) -> None:
        message.sequence = self._sequence
        self._sequence += 1
        await self._rpc.write(message)
        self._spoke = self._loop.time()

    def _listen(self) -> None:
        left = self._spoke + self._interval - self._loop.time()
        if left <= 0:
            left = self._interval
            if self._beat is None and not self._speaking:
                self._beat = self._loop.create_task(self._break_silence())
        self._timer = self._loop.call_later(left, self._listen)

    async def _break_silence(self) -> None:
        """Send a heartbeat. One that fails stays in `_beat`, for the next `send` to raise."""
        await self._write(wire_write.heartbeat(self._loop.time() - self._began))
        self._beat = None
