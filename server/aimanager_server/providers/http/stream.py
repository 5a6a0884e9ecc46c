"""Read one streamed response over HTTP, from the first bytes to its end or interruption."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from ...core.errors import DeadlineExceeded, GatewayError, ProviderProtocolError, StreamInterrupted
from ...core.request import Attempt
from ...core.response import Event, Finished
from ...core.usage import Usage, UsageSource
from ..wires.wire import StreamReader
from .empty_response import has_content, reject_lost_content
from .transport import Response

LINGER_SECONDS = 0.05
"""How long to receive on after a complete response: only a connection that received all of it can be reused."""

END_GRACE_SECONDS = 5.0
"""How long to wait, after the finish reason, for more content, the usage, or the end of the stream."""


class HttpStream:
    """Read the events of a stream. The connection is closed however reading ends, including cancellation.

    After the first events, no deadline applies: the consumer cancels a read that takes too long. `attribute` completes
    an error with the provider's name and redacts secrets. `max_bytes` limits the size of the response.
    """

    __slots__ = (
        "_attempt", "_attribute", "_body", "_deadline", "_grace", "_grace_ends", "_has_content", "_is_closed",
        "_is_finished", "_max_bytes", "_reader", "_received_bytes", "buffered",
    )  # fmt: skip

    def __init__(
        self,
        attempt: Attempt[Any],
        response: Response,
        reader: StreamReader,
        attribute: Callable[[GatewayError], GatewayError],
        max_bytes: int,
    ) -> None:
        self._attempt = attempt
        self._body = response.body
        self._reader: StreamReader = reader
        self._attribute = attribute
        self._max_bytes = max_bytes
        self._received_bytes = 0
        self.buffered: list[Event] = []
        self._deadline = attempt.deadline
        # Must be shorter than the idle timeout, or waiting for the end would count as a stall.
        self._grace = min(END_GRACE_SECONDS, attempt.target.timeouts.text / 2)
        self._grace_ends = inf
        self._has_content = self._is_finished = self._is_closed = False

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported so far, None if the provider has reported none."""
        usage = self._reader.usage
        return None if usage.source is UsageSource.MISSING else usage

    async def start(self) -> None:
        """Read up to the first events. Errors are raised unchanged, since the caller has received nothing yet.

        Raises TimeoutError at the deadline of the call.
        """
        try:
            while not self.buffered:
                self.buffered = await self._advance()
        except GatewayError as error:
            # One read can bring both an error and the usage.
            raise error.replace(usage=error.usage or self.usage_so_far()) from error.__cause__
        self._deadline = inf

    async def read(self) -> list[Event]:
        """Return the events that one network read brought, or those that arrived with the first content."""
        events, self.buffered = self.buffered, []
        cause: GatewayError | TimeoutError
        try:
            while not events and not self._is_closed:
                events = await self._advance()
        except (GatewayError, TimeoutError) as error:
            cause = error
            _drop_tracebacks(cause)  # their frames refer to the reader
        except BaseException:
            await self.aclose()
            raise
        else:
            if events and type(events[-1]) is Finished:
                await self.aclose()
            return events
        await self.aclose()
        raise self._failure(cause) from cause

    async def aclose(self) -> None:
        """Discard the remaining events, and close the connection unless its response is complete."""
        if not self._is_closed:
            self._is_closed = True
            self.buffered = []
            # An error keeps this stream alive for a while, which must not keep the text of the whole response.
            self._reader = _ClosedReader(self._reader.usage)
            await self._body.aclose(LINGER_SECONDS if self._is_finished else 0.0)

    async def _advance(self) -> list[Event]:
        with self._attempt.upstream_timer.measure():
            data = await (self._read_trailer() if self._reader.is_content_complete else self._body.read(self._deadline))
        if data:
            self._received_bytes += len(data)
            if self._received_bytes > self._max_bytes:
                raise ProviderProtocolError(f"The provider's response exceeds the limit of {self._max_bytes} bytes.")
            events = self._reader.feed(data)
        else:
            events = self._reader.end()
        self._has_content = self._has_content or has_content(events)
        last = events[-1] if events else None
        self._is_finished = isinstance(last, Finished)
        if isinstance(last, Finished) and not self._has_content:
            reject_lost_content(self._attempt, last)
        if not data and not self._is_finished:
            raise ProviderProtocolError("The stream ended without a completion event.")
        return events

    async def _read_trailer(self) -> bytes:
        """Return what follows the finish reason; empty after the grace period or a lost connection."""
        if self._grace_ends == inf:
            self._grace_ends = asyncio.get_running_loop().time() + self._grace
        try:
            return await self._body.read(min(self._grace_ends, self._deadline))
        except GatewayError:
            return b""
        except TimeoutError:
            if self._deadline < self._grace_ends:
                raise
            return b""

    def _failure(self, cause: GatewayError | TimeoutError) -> GatewayError:
        usage = self._reader.usage
        # The connection still had the deadline of the first content, or an error arrived later than it.
        if isinstance(cause, TimeoutError) or asyncio.get_running_loop().time() >= self._attempt.deadline:
            message = "Deadline exceeded before the response was complete."
            return self._attribute(DeadlineExceeded(message, usage=usage))
        message = f"Stream interrupted after the first content: {cause.message}"
        return self._attribute(StreamInterrupted(message, usage=usage))


def _drop_tracebacks(error: BaseException | None) -> None:
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


@dataclass(slots=True)
class _ClosedReader:
    """What remains of the reader of a closed stream."""

    usage: Usage
    is_content_complete = True

    def feed(self, data: bytes) -> list[Event]:
        """Ignore the data."""
        return []

    def end(self) -> list[Event]:
        """Return no events."""
        return []
