"""Serves the Prometheus metrics over HTTP, within bounds that no client can exceed."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ..config.errors import StartupError
from ..config.listeners import bound_socket, check_bindable
from .logger import get_logger
from .shared_rendering import SharedRendering

MAX_CONNECTIONS = 16
MAX_HEAD_BYTES = 8192
"""Size of the request line and the headers."""

HEAD_SECONDS = 5.0
"""How long a client may take to send them."""

TOTAL_SECONDS = 10.0
"""How long a connection may last."""

REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]\r\n")
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


class MetricsServer:
    """Serve `GET /metrics` on the running event loop, as an async context manager. `port` is the port it listens on.

    A connection serves one request. MAX_CONNECTIONS may be open: a further one replaces the oldest that has not sent
    its request, so that silent clients do not keep out a scraper. Metrics are rendered in a thread.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        head_seconds: float = HEAD_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._address = address
        self._head_seconds, self._total_seconds = head_seconds, total_seconds
        self._rendering = SharedRendering(lambda: generate_latest(registry))
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._silent: dict[asyncio.StreamWriter, None] = {}
        self.port = 0

    @property
    def open_connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    @property
    def silent_connections(self) -> int:
        """Open connections that have not sent their request."""
        return len(self._silent)

    async def __aenter__(self) -> Self:
        try:
            listener = bound_socket(self._address)
            listener.listen(MAX_CONNECTIONS)
        except OSError as error:
            raise _cannot_listen(self._address, error) from error
        listener.setblocking(False)
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=MAX_HEAD_BYTES)
        self.port = listener.getsockname()[1]
        get_logger().info("metrics_server.started", port=self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._rendering.close()
        for task in self._connections.values():
            task.cancel()
        await asyncio.gather(*self._connections.values(), return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next(iter(self._silent), writer)
            oldest.transport.abort()
            self._forget(oldest)
            if oldest is writer:
                return
        self._silent[writer] = None
        self._connections[writer] = asyncio.ensure_future(self._serve(reader, writer))

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._connections.pop(writer, None)
        self._silent.pop(writer, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):  # OSError includes TimeoutError
                async with asyncio.timeout(self._total_seconds):
                    writer.write(await self._response(reader, writer))
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
            self._forget(writer)

    async def _response(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Read a request and return the response. Raises what ends a connection without a response."""
        try:
            async with asyncio.timeout(self._head_seconds):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(431)
        self._silent.pop(writer, None)
        method, status = parse_request(head)
        if status != 200:
            return _response(status)
        try:
            text = await self._rendering.latest()
        except Exception:
            get_logger().exception("metrics_server.failed")
            return _response(500)
        return _response(200, text, is_head=method == "HEAD")


def check_metrics_address(address: str) -> None:
    """Raise StartupError if this machine cannot listen on the address. An address that is in use passes."""
    try:
        check_bindable(address)
    except OSError as error:
        raise _cannot_listen(address, error) from error


def _cannot_listen(address: str, error: OSError) -> StartupError:
    return StartupError(
        f"Cannot listen on {address!r} for metrics: {error.strerror}. "
        'Stop the other process, or set server.metrics_listen to a free address or "off".'
    )


def parse_request(head: bytes) -> tuple[str, int]:
    r"""Return the method of a request, and the status of its response.

    >>> parse_request(b"GET /metrics HTTP/1.1\r\n\r\n"), parse_request(b"POST /metrics HTTP/1.1\r\n\r\n")
    (('GET', 200), ('POST', 405))
    """
    found = REQUEST_LINE.match(head)
    if found is None:
        return "", 400
    method, target = found[1].decode(), found[2]
    if target.partition(b"?")[0] != b"/metrics":
        return method, 404
    return method, 200 if method in ("GET", "HEAD") else 405


def _response(status: int, text: bytes = b"", *, is_head: bool = False) -> bytes:
    headers = {
        "Content-Type": CONTENT_TYPE_LATEST,
        "Content-Length": str(len(text)),
        "Connection": "close",
        **({"Allow": "GET, HEAD"} if status == 405 else {}),
    }
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + (b"" if is_head else text)
