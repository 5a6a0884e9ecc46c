"""HttpConnection on real sockets: framing, limits, deadlines and back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aimanager_server.providers.http.connection import (
    MAX_FRAMING_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_UNREAD_BYTES,
    HttpConnection,
)
from aimanager_server.providers.http.connection_errors import (
    ConnectionLostError,
    ExchangeError,
    InvalidFramingError,
    InvalidResponseError,
    ResponseMissingError,
    ResponseTruncatedError,
)
from tests.support.eventually import eventually
from tests.support.http_servers.loopback import loopback_server
from tests.support.http_servers.raw import RawServer, SocketFault, Step, chunked_response, http_response, raw_server

GET = b"GET / HTTP/1.1\r\nHost: upstream\r\n\r\n"
OK = http_response(b"ok")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Pool:
    """Records what a connection reports."""

    def __init__(self) -> None:
        self.idle: list[HttpConnection] = []
        self.closed: list[HttpConnection] = []


async def connect(port: int, pool: Pool | None = None) -> HttpConnection:
    loop, pool = asyncio.get_running_loop(), pool or Pool()
    _, connection = await loop.create_connection(
        lambda: HttpConnection(loop, pool.idle.append, pool.closed.append), "127.0.0.1", port
    )
    return connection


@asynccontextmanager
async def connected(*script: Step) -> AsyncIterator[tuple[HttpConnection, Pool, RawServer]]:
    pool = Pool()
    async with raw_server(script) as server:
        connection = await connect(server.port, pool)
        yield connection, pool, server
        connection.abort()
        await eventually(lambda: pool.closed, [connection])


async def read_all(connection: HttpConnection) -> bytes:
    body = b""
    while data := await connection.read():
        body += data
    return body


@pytest.mark.parametrize(
    ("script", "body", "is_reused"),
    [
        ((OK,), b"ok", True),
        ((chunked_response(b"o", b"k"),), b"ok", True),
        ((CHUNKED + b"2;ext=1\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",), b"ok", True),
        ((CHUNKED + b"2  \r\nok\r\n0\r\n\r\n",), b"ok", True),
        ((b"HTTP/1.1 200 OK\r\n\r\nok", SocketFault.CLOSE), b"ok", False),
        ((b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",), b"ok", False),
        ((b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",), b"ok", True),
        ((b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",), b"ok", False),
        ((b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",), b"ok", True),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b"", True),
        ((b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",), b"", True),
        ((b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",), b"", True),
        ((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,), b"ok", True),
    ],
)
async def test_a_body_is_delimited_as_rfc_9112_says(script: tuple[Step, ...], body: bytes, is_reused: bool) -> None:
    async with connected(*script) as (connection, pool, _):
        await connection.send(GET)
        received = await read_all(connection)
        connection.release()

        assert (received, pool.idle) == (body, [connection] if is_reused else [])


async def test_headers_of_1xx_responses_are_dropped() -> None:
    async with connected(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK) as (connection, _, _):
        await connection.send(GET)

        assert [name for name, _ in connection.headers] == [b"Content-Type", b"Content-Length"]
        assert connection.status == 200


async def test_folded_headers_are_joined() -> None:
    async with connected(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n") as (connection, _, _):
        await connection.send(GET)

        assert connection.headers[0] == (b"X", b"a b")


async def test_no_body_follows_the_response_to_a_head_request() -> None:
    async with connected(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n") as (connection, pool, _):
        await connection.send(GET, is_head_request=True)
        body = await connection.read()
        connection.release()

        assert (body, pool.idle) == (b"", [])


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\nContent-Length: 2\r\n\r\nno" + OK,
        b"ICY 200 OK\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    ],
)
async def test_invalid_headers_are_an_error(head: bytes) -> None:
    async with connected(head, SocketFault.STALL) as (connection, _, server):
        with pytest.raises(InvalidResponseError):
            await connection.send(GET)
        await asyncio.wait_for(server.disconnected.wait(), 5.0)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * (MAX_HEADERS + 1) + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEADER_BYTES + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEADER_BYTES + 1),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEADERS + 1) + OK,
        (b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * 6000 + b"\r\n\r\n") * 11 + OK,
        b"\r\n" * MAX_HEADER_BYTES,
    ],
    ids=["count", "bytes", "unfinished", "1xx count", "1xx bytes", "empty lines"],
)
async def test_headers_are_limited_together_with_those_of_1xx_responses(head: bytes) -> None:
    async with connected(head, SocketFault.STALL) as (connection, _, _):
        with pytest.raises(InvalidResponseError):
            await connection.send(GET)


@pytest.mark.parametrize(
    "flood",
    [
        b"1;" + b"x" * MAX_FRAMING_BYTES + b"\r\na\r\n",
        (b"1;" + b"x" * 500 + b"\r\na\r\n") * 500,
        b"0\r\n" + b"X: 1\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"0\r\nX: " + b"x" * 2 * MAX_FRAMING_BYTES,
    ],
    ids=["one extension", "many extensions", "trailers", "unfinished trailer"],
)
async def test_framing_is_limited(flood: bytes) -> None:
    async with connected(CHUNKED, flood, SocketFault.STALL) as (connection, _, server):
        await connection.send(GET)
        with pytest.raises(InvalidFramingError):
            await read_all(connection)
        await asyncio.wait_for(server.disconnected.wait(), 5.0)


async def test_chunks_of_one_byte_are_within_the_limit() -> None:
    body = b"x" * 100_000
    async with connected(CHUNKED + b"1\r\nx\r\n" * len(body) + b"0\r\n\r\n") as (connection, _, _):
        await connection.send(GET)

        assert await read_all(connection) == body


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ((SocketFault.CLOSE,), ResponseMissingError),
        ((SocketFault.RESET,), ConnectionLostError),
        ((b"HTTP/1.1 200 OK\r\nX", SocketFault.CLOSE), ResponseTruncatedError),
        ((OK[:-1], SocketFault.CLOSE), ResponseTruncatedError),
        ((OK[:-1], SocketFault.RESET), ResponseTruncatedError),
        ((chunked_response(b"ok", end=False), SocketFault.CLOSE), ResponseTruncatedError),
        ((CHUNKED + b"zz\r\n",), InvalidFramingError),
    ],
)
async def test_an_incomplete_response_is_an_error(script: tuple[Step, ...], kind: type[Exception]) -> None:
    async def exchange(connection: HttpConnection) -> None:
        await connection.send(GET)
        await read_all(connection)

    async with connected(*script) as (connection, _, _):
        with pytest.raises(kind):
            await exchange(connection)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", SocketFault.CLOSE), "after 2 of 3 bytes"),
        ((chunked_response(b"ok", end=False), SocketFault.CLOSE), "after 2 bytes, before the last chunk"),
        ((b"HTTP/1.1 200 OK\r\nX", SocketFault.CLOSE), "within the headers"),
        ((CHUNKED + b"zz\r\n",), "invalid character in chunk size"),
        ((CHUNKED + b"1;" + b"x" * 2 * MAX_FRAMING_BYTES,), "extensions and trailers are too large"),
        ((b"HTP/1.1 200 OK\r\n\r\n",), "expected HTTP/"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",), "duplicate Content-Length"),
        ((b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",), "null byte"),
        ((b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n",), "more than 256 headers"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" * 300,), "more than 256 headers, counting 1xx"),
        ((b"HTTP/1.1 101 Switching\r\n\r\n",), "status 101"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",), "unsupported Transfer-Encoding"),
    ],
)
async def test_a_fault_of_framing_says_which_one(script: tuple[Step, ...], words: str) -> None:
    async def exchange(connection: HttpConnection) -> None:
        await connection.send(GET)
        await read_all(connection)

    async with connected(*script) as (connection, _, _):
        with pytest.raises(ExchangeError) as caught:
            await asyncio.wait_for(exchange(connection), 5.0)

    assert words in caught.value.gateway_error("upstream").message


async def test_an_error_is_raised_after_the_data_before_it() -> None:
    async with connected(chunked_response(b"first", end=False) + b"zz\r\n") as (connection, _, _):
        await connection.send(GET)
        first = await connection.read()
        with pytest.raises(InvalidFramingError):
            await connection.read()

    assert first == b"first"


@pytest.mark.parametrize("surplus", [OK, b"H", b"\r\nHTTP/1.1 200 OK\r\n"])
async def test_a_connection_with_surplus_data_is_not_reused(surplus: bytes) -> None:
    async with connected(OK + surplus) as (connection, pool, _):
        await connection.send(GET)
        body = await read_all(connection)
        connection.release()

        assert (body, pool.idle, connection.closed) == (b"ok", [], True)


async def test_data_on_an_idle_connection_closes_it() -> None:
    async with connected(OK, b"", SocketFault.STALL) as (connection, pool, server):
        await connection.send(GET)
        await read_all(connection)
        connection.release()
        is_usable = connection.is_usable()
        connection.data_received(b"x")
        await asyncio.wait_for(server.disconnected.wait(), 5.0)

        assert (pool.idle, is_usable, connection.is_usable()) == ([connection], True, False)


async def test_data_waiting_in_the_socket_makes_a_connection_unusable() -> None:
    stray_may_follow = asyncio.Event()
    stray_sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await stray_may_follow.wait()
        writer.write(OK)
        stray_sent.set()
        await reader.read()

    async with loopback_server(serve) as port:
        connection = await connect(port)
        await connection.send(GET)
        await read_all(connection)
        connection.release()
        connection.transport.pause_reading()  # as if the event loop had not polled yet
        stray_may_follow.set()
        await stray_sent.wait()

        await eventually(connection.is_usable, False)
        connection.abort()


async def test_a_slow_reader_stops_the_server() -> None:
    chunk, count, sent = b"x" * 65536, 160, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(chunk) * count))
        for _ in range(count):
            writer.write(chunk)
            await writer.drain()
            sent += 1
        await reader.read()

    async with loopback_server(serve) as port:
        connection = await connect(port)
        await connection.send(GET)
        await eventually(lambda: connection._paused, True)
        unread, before = connection._unread_bytes, -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.02)
        stopped_at = sent
        body = await read_all(connection)
        connection.abort()

    assert MAX_UNREAD_BYTES < unread <= 2 * MAX_UNREAD_BYTES
    assert stopped_at < count
    assert len(body) == len(chunk) * count


async def test_a_server_that_does_not_read_stops_the_sending() -> None:
    body, may_read, received = b"x" * 50_000_000, asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        await may_read.wait()
        while received < len(body):
            received += len(await reader.read(1_000_000))
        writer.write(OK)

    async with loopback_server(serve) as port:
        connection = await connect(port)
        sending = asyncio.create_task(connection.send(GET, body))
        await eventually(lambda: connection._is_writing_paused, True)
        buffered = connection.transport.get_write_buffer_size()
        may_read.set()
        await sending
        connection.abort()

    assert buffered < 1_000_000
    assert received == len(body)


async def test_a_response_before_the_end_of_the_request_ends_the_sending() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http_response(b"too large", "413 Too Large"))
        await asyncio.Event().wait()

    pool = Pool()
    async with loopback_server(serve) as port:
        connection = await connect(port, pool)
        await connection.send(GET, b"x" * 50_000_000)
        body = await read_all(connection)
        connection.release()

    assert (connection.status, body, pool.idle, connection.closed) == (413, b"too large", [], True)


async def test_a_lingering_connection_is_idle_as_soon_as_its_response_is_complete() -> None:
    async with connected(chunked_response(b"ok", end=False)) as (connection, pool, _):
        await connection.send(GET)
        await connection.read()
        connection.release(linger=True)
        before = list(pool.idle)
        connection.data_received(b"0\r\n\r\n")

        assert (before, pool.idle) == ([], [connection])


async def test_an_expired_exchange_ends_with_a_timeout() -> None:
    async with connected(OK[:-1], SocketFault.STALL) as (connection, _, server):
        await connection.send(GET)
        first = await connection.read()
        asyncio.get_running_loop().call_soon(connection.expire)
        with pytest.raises(TimeoutError):
            await connection.read()
        await asyncio.wait_for(server.disconnected.wait(), 5.0)

    assert first == b"o"


async def test_an_aborted_response_until_close_is_not_complete() -> None:
    async with connected(b"HTTP/1.1 200 OK\r\n\r\nok", SocketFault.STALL) as (connection, _, _):
        await connection.send(GET)
        await connection.read()
        connection.abort()

        with pytest.raises(ResponseTruncatedError):
            await connection.read()
