"""One HTTP/1.1 connection: sends requests, parses responses with llhttp, applies back-pressure both ways."""

from __future__ import annotations

import asyncio
import select
from asyncio import AbstractEventLoop, Future, Transport
from collections.abc import Callable
from math import inf
from typing import cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from .connection_errors import (
    ConnectionLostError,
    ExchangeError,
    InvalidFramingError,
    InvalidResponseError,
    ResponseMissingError,
    ResponseTruncatedError,
)
from .request_head import Origin

MAX_HEADER_BYTES = 64 * 1024
"""All headers of one response together, with those of 1xx responses and trailers."""

MAX_HEADERS = 256
"""The same, counted. A 1xx response counts as one more header."""

MAX_UNREAD_BYTES = 256 * 1024
"""Unread body bytes above which the socket is not read."""

WRITE_CHUNK_BYTES = 256 * 1024
"""Larger request bodies are sent in pieces of this size, each once the socket accepts more."""

MAX_FRAMING_RATIO = 16
MAX_FRAMING_BYTES = 2 * MAX_HEADER_BYTES
"""Chunk sizes, chunk extensions and trailers may take MAX_FRAMING_BYTES, and MAX_FRAMING_RATIO bytes for each byte of
the body: a chunk of one byte takes 5."""

HEADERS_TOO_LARGE = f"headers of more than {MAX_HEADER_BYTES} bytes"

SWITCHING_PROTOCOLS = 101


class HttpConnection(asyncio.Protocol):
    """Carries one exchange at a time.

    `on_idle` is called when the connection may carry another request, `on_closed` once it is closed. An error is raised
    to the reader only after every byte that arrived before it was read. A connection that received a byte while idle,
    or more than one response to a request, is closed instead of reused.
    """

    __slots__ = (
        "_body_bytes", "_complete", "_error", "_framing_bytes", "_has_input", "_header_bytes", "_header_count",
        "_headers_complete", "_is_head_request", "_is_informational", "_is_lingering", "_is_request_sent",
        "_is_writing_paused", "_keep_alive", "_loop", "_on_closed", "_on_idle", "_parser", "_paused",
        "_received_bytes", "_unread", "_unread_bytes", "_waiter", "closed", "deadline", "headers", "idle_since",
        "in_use", "origin", "status", "transport",
    )  # fmt: skip

    def __init__(
        self,
        loop: AbstractEventLoop,
        on_idle: Callable[[HttpConnection], None],
        on_closed: Callable[[HttpConnection], None],
    ) -> None:
        self._loop = loop
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._parser = HttpResponseParser(self)
        # As lenient as RFC 9112 asks of clients: bare LF, folded headers, spaces after a chunk size.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._waiter: Future[None] | None = None
        self._paused = self._is_writing_paused = False
        self._has_input: Callable[[], bool] | None = None
        self.transport = cast(Transport, None)
        self.closed = self.in_use = False
        self.origin: Origin | None = None
        """Where the pool keeps this connection while it is idle."""
        self.idle_since = 0.0
        self.deadline = inf
        self._reset()

    def _reset(self) -> None:
        self._unread: list[bytes] = []
        self._unread_bytes = self._received_bytes = self._body_bytes = self._framing_bytes = 0
        self._header_bytes = self._header_count = 0
        self._error: Exception | None = None
        self._headers_complete = self._complete = self._keep_alive = False
        self._is_informational = self._is_head_request = self._is_lingering = False
        self._is_request_sent = True
        self.headers: list[tuple[bytes, bytes]] = []
        """As received."""
        self.status = 0

    async def send(self, head: bytes, body: bytes = b"", *, is_head_request: bool = False) -> None:
        """Send a request and wait for the headers of its response. Raises ExchangeError, or TimeoutError on `expire`.

        A response that arrives before the whole body was sent ends the sending. `is_head_request` means that no body
        follows the headers of the response; its connection is not reused.
        """
        self._reset()
        self._is_head_request = is_head_request
        self.in_use = True
        if self.closed:
            raise ResponseMissingError
        if len(body) <= WRITE_CHUNK_BYTES:
            self.transport.write(head + body)
        else:
            await self._send_in_pieces(head, memoryview(body))
        while not self._headers_complete:
            if self._error is not None:
                raise self._error
            await self._change()

    async def read(self) -> bytes:
        """Return the body bytes that arrived since the last read; empty at the end. Raises as `send` does."""
        while not self._unread:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._change()
        unread = self._unread
        data = unread[0] if len(unread) == 1 else b"".join(unread)
        self._discard_unread()
        return data

    @property
    def is_exhausted(self) -> bool:
        """Whether the whole response has arrived and was read."""
        return self._complete and not self._unread

    @property
    def has_received(self) -> bool:
        """Whether any byte of a response to the current request has arrived."""
        return self._received_bytes > 0

    def is_usable(self) -> bool:
        """Return whether an idle connection may be used: it is open and nothing waits in its socket."""
        if self.closed or self.transport.is_closing():
            return False
        if self._has_input is None:
            self._has_input = _input_check(self.transport.get_extra_info("socket").fileno())
        return not self._has_input()

    def release(self, *, linger: bool = False) -> None:
        """End the exchange. The connection is reused if its response is complete, else closed.

        With `linger`, an incomplete response is received further; `expire` then closes the connection.
        """
        if not self.in_use:
            return
        if self._complete:
            self._end_exchange()
        elif linger and self._headers_complete and self._error is None and not self.closed:
            self._is_lingering = True
            self._discard_unread()
        else:
            self.abort()

    def expire(self) -> None:
        """End a pending or later read with TimeoutError and close the connection."""
        self._fail(TimeoutError())

    def abort(self) -> None:
        """Close at once, without waiting for the peer."""
        if not self.closed:
            self.closed = True
            self.transport.abort()

    async def _send_in_pieces(self, head: bytes, body: memoryview) -> None:
        self.transport.write(head)
        for start in range(0, len(body), WRITE_CHUNK_BYTES):
            while self._is_writing_paused and not self._headers_complete and self._error is None:
                await self._change()
            if self._headers_complete or self._error is not None:
                self._is_request_sent = False
                return
            self.transport.write(body[start : start + WRITE_CHUNK_BYTES])

    def _end_exchange(self) -> None:
        self.in_use = False
        is_reusable = self._keep_alive and self._is_request_sent and not self.closed
        if is_reusable and not self.transport.get_write_buffer_size():
            self._discard_unread()
            self._on_idle(self)
        else:
            self.abort()

    def _discard_unread(self) -> None:
        self._unread.clear()
        self._unread_bytes = 0
        self._pause_or_resume_reading()

    def _pause_or_resume_reading(self) -> None:
        # Not paused after the end: TLS would withhold surplus data, which `is_usable` cannot see there.
        paused = self._unread_bytes > MAX_UNREAD_BYTES and not self._complete
        if paused == self._paused:
            return
        self._paused = paused
        if paused:
            self.transport.pause_reading()
        elif not self.closed:
            self.transport.resume_reading()

    async def _change(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None and not self._complete:
            self._error = error
        self._keep_alive = False
        self.abort()
        self._wake()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; close the connection if no response is expected or a limit is exceeded."""
        if not self.in_use or self._complete:
            self._keep_alive = False  # it would be taken for the next response
            self.abort()
            return
        body_bytes = self._body_bytes
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(self._invalid(error))
            return
        self._framing_bytes += len(data) - (self._body_bytes - body_bytes)
        if excess := self._excess():
            self._fail(self._invalid(None, excess))
        elif self._is_lingering and self._complete:
            self._end_exchange()
        else:
            self._pause_or_resume_reading()
            self._wake()

    def pause_writing(self) -> None:
        """Stop sending the body."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """Continue to send the body."""
        self._is_writing_paused = False
        self._wake()

    def eof_received(self) -> None:
        """Let asyncio close the transport."""

    def connection_lost(self, error: Exception | None) -> None:
        """End the response: complete if the end of the connection delimits its body, else truncated."""
        was_aborted, self.closed = self.closed, True
        self._on_closed(self)
        if self.in_use and not self._complete and self._error is None:
            if error is None and not was_aborted and self._is_delimited_by_close():
                self._complete = True
            else:
                self._error = self._lost(error)
        self._wake()

    # httptools callbacks

    def on_message_begin(self) -> None:
        """Notice a second response to one request."""
        if self._complete:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header. Trailers are only counted."""
        self._header_bytes += len(name) + len(value)
        self._count_header()
        if self._header_bytes > MAX_HEADER_BYTES:
            raise InvalidResponseError(detail=HEADERS_TOO_LARGE)
        if b"\0" in value:
            raise InvalidResponseError(detail="a header contains a null byte")
        if not self._headers_complete:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note the status, unless it is that of a 1xx response."""
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            if self.status < 100 or self.status == SWITCHING_PROTOCOLS:
                raise InvalidResponseError(detail=f"unexpected status {self.status}")
            self._count_header()
            self._is_informational = True
            return
        if self._transfer_encoding() not in (b"", b"chunked"):
            raise InvalidResponseError(detail="unsupported Transfer-Encoding")
        self._headers_complete = True
        if self._is_head_request:
            self._complete = True  # llhttp would wait for a body
        else:
            self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Collect body bytes."""
        self._body_bytes += len(data)
        if self._complete or self._is_lingering:
            return
        if self._is_informational:
            raise InvalidResponseError(detail=f"status {self.status} with a body")
        self._unread.append(data)
        self._unread_bytes += len(data)

    def on_message_complete(self) -> None:
        """End the response, or a 1xx response before it."""
        if self._is_informational:
            self._is_informational = False
            self.headers.clear()
        else:
            self._complete = True

    def _count_header(self) -> None:
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            raise InvalidResponseError(detail=f"more than {MAX_HEADERS} headers, counting 1xx responses")

    def _excess(self) -> str:
        """Return which limit the response exceeds; empty for none."""
        if not self._headers_complete:
            return HEADERS_TOO_LARGE if self._received_bytes > MAX_HEADER_BYTES else ""
        if self._framing_bytes > MAX_FRAMING_BYTES + MAX_FRAMING_RATIO * self._body_bytes:
            return "chunk sizes, extensions and trailers are too large"
        return ""

    def _is_delimited_by_close(self) -> bool:
        """Follow RFC 9112, section 6.3; other transfer codings than chunked were rejected."""
        names = {name.lower() for name, _ in self.headers}
        return self._headers_complete and not names & {b"content-length", b"transfer-encoding"}

    def _transfer_encoding(self) -> bytes:
        found = [
            value.lower() for name, value in self.headers if len(name) == 17 and name.lower() == b"transfer-encoding"
        ]
        return b", ".join(found)

    def _invalid(self, cause: Exception | None, detail: str = "") -> ExchangeError:
        fault = InvalidFramingError if self._headers_complete else InvalidResponseError
        return fault(cause, detail or _parser_fault(cause))

    def _lost(self, cause: Exception | None) -> ExchangeError:
        if self._headers_complete:
            return ResponseTruncatedError(cause, self._missing())
        if cause is not None:
            return ConnectionLostError(cause)
        if self.has_received:
            return ResponseTruncatedError(detail="the connection closed within the headers")
        return ResponseMissingError()

    def _missing(self) -> str:
        """Say how much of the body is missing."""
        length = next((value for name, value in self.headers if name.lower() == b"content-length"), b"")
        if length.isdigit():
            return f"the connection closed after {self._body_bytes} of {int(length[:20])} bytes"
        return f"the connection closed after {self._body_bytes} bytes, before the last chunk"


def _parser_fault(error: BaseException | None) -> str:
    """Return which fault an exception of the parser reports. Its own messages are fixed texts."""
    if isinstance(error, HttpParserCallbackError):
        own = error.__context__
        return own.detail if isinstance(own, ExchangeError) else ""
    return str(error)[:1].lower() + str(error)[1:] if isinstance(error, HttpParserError) else ""


def _input_check(descriptor: int) -> Callable[[], bool]:
    """Return a function that returns whether the socket has received something, or its peer has closed it."""
    if not hasattr(select, "poll"):  # pragma: no cover  # Windows
        return lambda: bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # unlike select(), not limited to descriptors below 1024
    poll.register(descriptor, select.POLLIN)
    return lambda: bool(poll.poll(0))
