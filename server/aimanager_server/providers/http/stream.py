"""One streamed answer over HTTP, from its first bytes to its end or its interruption."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from ...core.errors import GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.request import Call
from ...core.response import Event, Finished
from ...core.usage import Usage, UsageSource
from ..wires.dialect import Reader
from .transport import Response

DRAIN_SECONDS = 0.05
"""How long the end of a finished response is awaited: its connection can be used again only when it was read."""

GRACE_SECONDS = 1.0
"""How long an answer that has said why it stopped is given for what may follow: its usage, and its marker."""


class HttpStream:
    """Events as they arrive. Closes the connection however reading ends, cancellation included.

    It knows of no time: whoever reads it and will not wait any longer cancels the read. `own` makes a fault fit to
    leave: it names the provider and masks the key. `most` bounds the bytes of the answer.
    """

    def __init__(
        self, call: Call, response: Response, reader: Reader, own: Callable[[GatewayError], None], most: int
    ) -> None:
        self._call = call
        self._body = response.body
        self._reads = aiter(response.body)
        self._reader = reader
        self._own = own
        self._left = most
        self._ready: deque[Event] = deque()
        # Shorter than what counts as a stall, or the end of an answer would.
        self._grace = min(GRACE_SECONDS, call.target.timeouts.text / 2)
        self._grace_ends: float | None = None
        self._finished = False
        self._closed = False

    def spent(self) -> Usage | None:
        """The usage so far, None where nothing was counted."""
        usage = self._reader.usage
        return None if usage.source is UsageSource.MISSING else usage

    async def begin(self) -> None:
        """Read up to the first event. Raises what comes in its place, as it is: the caller has seen nothing yet."""
        try:
            while not self._ready:
                await self._advance()
        except GatewayError as fault:
            # An error may come in one read with what it cost.
            fault.usage = fault.usage or self.spent()
            raise

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._finished:
                if not self._closed:
                    await self._drain()
                raise StopAsyncIteration
            await self._go_on()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Give up the rest; the connection is closed unless its response was read to the end."""
        self._finished = self._closed = True
        self._ready.clear()
        await self._body.aclose()

    async def _go_on(self) -> None:
        try:
            await self._advance()
        except GatewayError as cause:
            await self.aclose()
            raise self._interrupted(cause) from cause
        except BaseException:
            await self.aclose()
            raise

    async def _advance(self) -> None:
        with self._call.upstream_timer.measure():
            data = await (self._read_rest() if self._reader.is_ending else anext(self._reads, None))
        if data is None:
            events = self._reader.end()
        else:
            self._left -= len(data)
            if self._left < 0:
                raise ProviderProtocolError("The answer is larger than the bytes allowed.")
            events = self._reader.feed(data)
        self._ready.extend(events)
        self._finished = bool(events) and isinstance(events[-1], Finished)
        if data is None and not self._finished:
            raise ProviderProtocolError("The stream ended without its end.")

    async def _read_rest(self) -> bytes | None:
        """What follows the end of an answer; None where nothing does soon, or the connection is lost: it is whole."""
        self._grace_ends = self._grace_ends or asyncio.get_running_loop().time() + self._grace
        try:
            async with asyncio.timeout_at(self._grace_ends):
                return await anext(self._reads, None)
        except (GatewayError, TimeoutError):
            return None

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await anext(self._reads, None) is not None:
                    pass
        except (GatewayError, TimeoutError):
            pass  # the answer is complete; only the connection is lost
        finally:
            await self.aclose()

    def _interrupted(self, cause: GatewayError) -> StreamInterrupted:
        fault = StreamInterrupted(f"The answer broke off after it had begun: {cause.message}")
        fault.usage = self._reader.usage
        self._own(fault)
        return fault
