"""Pool HTTP/1.1 connections: keep-alive by origin, TLS, happy eyeballs, proxies, one retry on a stale connection."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from math import inf
from typing import NamedTuple

from ...resilience.concurrency_limiter import ConcurrencyLimiter
from .connection import HttpConnection
from .connection_errors import STALE_CONNECTION_ERRORS, ConnectTimeoutError, PoolClosedError, PoolTimeoutError
from .connector import Connector
from .request_head import Origin

IDLE_TIMEOUT_SECONDS = 15.0
"""How long an idle connection is kept. Many servers close theirs after 20 to 75 s; ours are closed first."""


class Timeouts(NamedTuple):
    """Further limits on one exchange, in seconds."""

    pool: float = inf
    connect: float = inf
    response: float = inf
    """From the start of sending to the headers of the response."""


NO_TIMEOUTS = Timeouts()


class ConnectionPool:
    """Connections to any number of origins, of one event loop.

    At most `max_connections` exchanges run at once; further ones wait up to `connect_timeout` seconds. Opening a
    connection may take `connect_timeout` seconds: DNS lookup, TCP and TLS together. Raises ExchangeError, and
    TimeoutError once the deadline of an exchange has passed. Deadlines are on the clock of the event loop; one timer
    enforces all of them.
    """

    def __init__(
        self, connector: Connector, *, max_connections: int, max_idle_connections: int, connect_timeout: float
    ) -> None:
        self._connector = connector
        self._max_connections = max_connections
        self._limiter = ConcurrencyLimiter(max_connections, sys.maxsize, connect_timeout)
        self._max_idle_connections = max_idle_connections
        self._connect_timeout = connect_timeout
        self._idle: dict[Origin | None, dict[HttpConnection, None]] = {}
        """Per origin, the connection that became idle last is last."""
        self._idle_count = 0
        self._busy: set[HttpConnection] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._next_deadline = inf
        self._is_closed = False

    @property
    def idle_connections(self) -> int:
        """Number of open connections that carry no exchange."""
        return self._idle_count

    @property
    def exchanges_in_flight(self) -> int:
        """Number of exchanges that hold a connection or are opening one."""
        return self._limiter.in_flight

    async def exchange(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        deadline: float = inf,
        *,
        is_head_request: bool = False,
        timeouts: Timeouts = NO_TIMEOUTS,
    ) -> HttpConnection:
        """Send a request; return its connection once the headers of the response have arrived.

        The caller must pass the connection to `release`. If a reused connection breaks before the first byte of the
        response, the request is sent once more on a new one: the server may have closed it while it was idle.
        """
        if deadline <= asyncio.get_running_loop().time():
            raise TimeoutError
        if not self._limiter.try_acquire():
            await self._wait_for_permit(deadline, timeouts)
        try:
            reused = self._take_idle(origin)
            if reused is not None:
                try:
                    return await self._send(reused, head, body, deadline, is_head_request, timeouts)
                except STALE_CONNECTION_ERRORS:
                    if reused.has_received:
                        raise
            connection = await self._connect(origin, deadline, timeouts)
            return await self._send(connection, head, body, deadline, is_head_request, timeouts)
        except BaseException:
            self._limiter.release()
            raise

    def set_deadline(self, connection: HttpConnection, deadline: float) -> None:
        """End the exchange with TimeoutError at `deadline`."""
        connection.deadline = deadline
        if deadline < self._next_deadline:
            self._schedule_deadline(deadline, asyncio.get_running_loop())

    def release(self, connection: HttpConnection, linger: float = 0.0) -> None:
        """End an exchange. A response that is complete within `linger` seconds leaves its connection reusable."""
        self._limiter.release()
        connection.deadline = inf
        connection.release(linger=linger > 0.0)
        if connection.in_use and not connection.closed:
            self.set_deadline(connection, asyncio.get_running_loop().time() + linger)

    async def aclose(self) -> None:
        """Close every connection. Later exchanges raise PoolClosedError."""
        self._is_closed = True
        for timer in (self._idle_timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        for connection in [*self._busy, *(connection for idle in self._idle.values() for connection in idle)]:
            connection.abort()
        await asyncio.sleep(0)  # lets the event loop close the sockets

    async def _wait_for_permit(self, deadline: float, timeouts: Timeouts) -> None:
        loop = asyncio.get_running_loop()
        if await self._limiter.wait_for_permit(seconds=min(deadline - loop.time(), timeouts.pool)):
            return
        if loop.time() >= deadline:
            raise TimeoutError
        raise PoolTimeoutError(self._max_connections, min(self._connect_timeout, timeouts.pool))

    async def _send(
        self,
        connection: HttpConnection,
        head: bytes,
        body: bytes,
        deadline: float,
        is_head_request: bool,
        timeouts: Timeouts,
    ) -> HttpConnection:
        if timeouts.response < inf:
            deadline = min(deadline, asyncio.get_running_loop().time() + timeouts.response)
        self._busy.add(connection)
        self.set_deadline(connection, deadline)
        try:
            await connection.send(head, body, is_head_request=is_head_request)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _connect(self, origin: Origin, deadline: float, timeouts: Timeouts) -> HttpConnection:
        if self._is_closed:
            raise PoolClosedError
        loop = asyncio.get_running_loop()
        latest = loop.time() + min(self._connect_timeout, timeouts.connect)
        create = partial(HttpConnection, loop, self._keep, self._forget)
        try:
            async with asyncio.timeout_at(min(latest, deadline)):
                connection = await self._connector.connect(origin, create)
        except TimeoutError as error:
            if deadline <= latest:
                raise
            raise ConnectTimeoutError from error
        connection.origin = origin
        if self._is_closed:
            connection.abort()
            raise PoolClosedError
        return connection

    # idle connections

    def _take_idle(self, origin: Origin) -> HttpConnection | None:
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            self._idle_count -= 1
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    def _keep(self, connection: HttpConnection) -> None:
        self._busy.discard(connection)
        if self._is_closed or self._idle_count >= self._max_idle_connections:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(connection.origin, {})[connection] = None
        self._idle_count += 1
        if self._idle_timer is None:
            self._idle_timer = loop.call_later(IDLE_TIMEOUT_SECONDS, self._close_expired, loop)

    def _forget(self, connection: HttpConnection) -> None:
        self._busy.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            del idle[connection]
            self._idle_count -= 1

    def _close_expired(self, loop: asyncio.AbstractEventLoop) -> None:
        latest = loop.time() - IDLE_TIMEOUT_SECONDS
        for idle in self._idle.values():
            for connection in [connection for connection in idle if connection.idle_since <= latest]:
                del idle[connection]
                self._idle_count -= 1
                connection.abort()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        oldest = min((next(iter(idle)).idle_since for idle in self._idle.values()), default=None)
        self._idle_timer = (
            None if oldest is None else loop.call_at(oldest + IDLE_TIMEOUT_SECONDS, self._close_expired, loop)
        )

    # deadlines

    def _schedule_deadline(self, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._next_deadline = deadline
        self._deadline_timer = loop.call_at(deadline, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._deadline_timer, self._next_deadline = None, inf
        for connection in [connection for connection in self._busy if connection.deadline <= now]:
            connection.expire()
        next_deadline = min((one.deadline for one in self._busy if not one.closed), default=inf)
        if next_deadline < inf:
            self._schedule_deadline(next_deadline, loop)
