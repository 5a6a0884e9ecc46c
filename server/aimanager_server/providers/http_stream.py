"""One streamed answer over HTTP, from its first bytes to its end or its interruption."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from ..call import Call
from ..errors import DeadlineExceeded, ProviderProtocol, StreamInterrupted
from ..fault import Fault
from ..reply import Event, Finished
from .dialect import Reader
from .transport import Response

DRAIN_SECONDS = 0.05
"""How long the end of a finished response is awaited: its connection can be used again only when it was read."""


class HttpStream:
    """Events as they arrive. Closes the connection however reading ends, cancellation included.

    `own` makes a fault fit to leave: it names the provider and masks the key. `most` bounds the bytes of the answer.
    """

    def __init__(self, call: Call, response: Response, reader: Reader, own: Callable[[Fault], None], most: int) -> None:
        self._call = call
        self._body = response.body
        self._reads = aiter(response.body)
        self._reader = reader
        self._own = own
        self._left = most
        self._ready: deque[Event] = deque()
        self._finished = False
        self._closed = False

    async def begin(self) -> None:
        """Read up to the first event. Raises what comes in its place, as it is: the caller has seen nothing yet."""
        while not self._ready:
            await self._advance()

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
            async with asyncio.timeout_at(self._call.deadline) as limit:
                await self._advance()
        except (Fault, TimeoutError) as cause:
            await self.aclose()
            if isinstance(cause, TimeoutError) and limit.expired():
                cause = DeadlineExceeded("The deadline passed within the answer.")
            raise self._interrupted(cause) from cause
        except BaseException:
            await self.aclose()
            raise

    async def _advance(self) -> None:
        with self._call.away.waiting():
            data = await anext(self._reads, None)
        if data is None:
            events = self._reader.end()
        else:
            self._left -= len(data)
            if self._left < 0:
                raise ProviderProtocol("The answer is larger than the bytes allowed.")
            events = self._reader.feed(data)
        self._ready.extend(events)
        self._finished = bool(events) and isinstance(events[-1], Finished)
        if data is None and not self._finished:
            raise ProviderProtocol("The stream ended without its end.")

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while await anext(self._reads, None) is not None:
                    pass
        except (Fault, TimeoutError):
            pass  # the answer is complete; only the connection is lost
        finally:
            await self.aclose()

    def _interrupted(self, cause: Exception) -> StreamInterrupted:
        why = cause.message if isinstance(cause, Fault) else type(cause).__name__
        fault = StreamInterrupted(f"The answer broke off after it had begun: {why}")
        fault.usage = self._reader.usage
        self._own(fault)
        return fault
