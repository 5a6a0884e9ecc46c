"""ConnectionPool: reuse by origin, idle timeout, stale and polluted connections, deadlines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from aimanager_server.core.errors import GatewayError, Overloaded, ProviderUnreachable
from aimanager_server.providers.http.pool import IDLE_TIMEOUT_SECONDS
from aimanager_server.providers.http.transport import HttpTransport, Response
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.event_loop import in_virtual_time
from tests.support.eventually import eventually
from tests.support.http_servers.loopback import loopback_server
from tests.support.http_servers.raw import RawServer, SocketFault, Step, chunked_response, http_response, raw_server
from tests.support.http_transport import http_transport

OK = http_response(b"ok")
STRAY = http_response(b"stray")


@asynccontextmanager
async def transport_to(
    *scripts: tuple[Step, ...], max_connections: int = 10, connect_timeout: float = 5.0
) -> AsyncIterator[tuple[HttpTransport, RawServer]]:
    async with raw_server(*scripts) as server:
        transport = http_transport(max_connections=max_connections, connect_timeout=connect_timeout)
        yield transport, server
        await transport.aclose()
        assert transport.pool.exchanges_in_flight == transport.pool.idle_connections == 0


def get(server: RawServer, path: str = "/") -> HttpRequest:
    return HttpRequest("GET", server.url + path, {})


async def read_all(response: Response) -> bytes:
    body = b""
    while data := await response.body.read():
        body += data
    return body


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("stray", [(OK + STRAY,), (OK, STRAY)], ids=["same segment", "next segment"])
async def test_a_stray_second_response_is_not_the_answer_to_the_next_request(stray: tuple[Step, ...]) -> None:
    async with transport_to(stray, (OK,)) as (transport, server):
        bodies = [await read_all(await transport.send(get(server))) for _ in range(2)]

        assert (bodies, server.connections) == ([b"ok", b"ok"], 2)


async def test_a_stray_response_that_arrives_while_idle_closes_the_connection() -> None:
    stray_may_follow = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await stray_may_follow.wait()
        writer.write(STRAY)
        await reader.read()

    async with loopback_server(serve) as port:
        transport = http_transport()
        await read_all(await transport.send(HttpRequest("GET", f"http://127.0.0.1:{port}", {})))
        idle_before = transport.pool.idle_connections
        stray_may_follow.set()
        await eventually(lambda: transport.pool.idle_connections, 0)
        await transport.aclose()

    assert idle_before == 1


async def test_a_connection_is_idle_once_the_last_byte_was_read() -> None:
    async with transport_to((OK,)) as (transport, server):
        response = await transport.send(get(server))
        body = await response.body.read()
        idle = transport.pool.idle_connections
        end = await response.body.read()
        await response.body.aclose()

        assert (body, idle, end) == (b"ok", 1, b"")


async def test_a_connection_closed_while_idle_is_not_counted() -> None:
    async with transport_to((OK, SocketFault.CLOSE)) as (transport, server):
        await read_all(await transport.send(get(server)))

        await eventually(lambda: transport.pool.idle_connections, 0)


@pytest.mark.parametrize("fault", [SocketFault.CLOSE, SocketFault.RESET])
async def test_a_request_on_a_stale_connection_is_sent_once_more_on_a_new_one(fault: SocketFault) -> None:
    async with transport_to((OK,), (OK,), (fault,), (OK,)) as (transport, server):
        two = await asyncio.gather(transport.send(get(server)), transport.send(get(server)))
        await asyncio.gather(*map(read_all, two))
        third = await read_all(await transport.send(get(server)))

        assert (third, len(server.requests), server.connections) == (b"ok", 4, 3)


async def test_a_partial_response_on_a_reused_connection_is_not_retried() -> None:
    async with transport_to((OK,), (b"HTTP/1.1 2", SocketFault.CLOSE), (OK,)) as (transport, server):
        await read_all(await transport.send(get(server)))
        with pytest.raises(GatewayError, match="truncated"):
            await transport.send(get(server))

        assert len(server.requests) == 2


async def test_a_response_that_ends_late_returns_its_connection_at_once() -> None:
    may_end = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(chunked_response(b"ok", end=False))
        await may_end.wait()
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with loopback_server(serve) as port:
        transport = http_transport()
        response = await transport.send(HttpRequest("GET", f"http://127.0.0.1:{port}", {}))
        await response.body.read()
        await response.body.aclose(linger=60.0)
        in_flight, idle = transport.pool.exchanges_in_flight, transport.pool.idle_connections
        may_end.set()
        await eventually(lambda: transport.pool.idle_connections, 1)
        await transport.aclose()

    assert (in_flight, idle) == (0, 0)


async def test_a_response_that_does_not_end_is_not_waited_for_longer() -> None:
    async with transport_to((chunked_response(b"ok", end=False), SocketFault.STALL)) as (transport, server):
        response = await transport.send(get(server))
        await response.body.read()
        await response.body.aclose(linger=0.02)
        await asyncio.wait_for(server.disconnected.wait(), 5.0)


async def test_an_exchange_ends_at_its_deadline() -> None:
    async with transport_to((SocketFault.STALL,)) as (transport, server):
        with pytest.raises(TimeoutError):
            await transport.send(get(server), now() + 0.02)
        await asyncio.wait_for(server.disconnected.wait(), 5.0)
        with pytest.raises(TimeoutError):
            await transport.send(get(server), now())

        assert len(server.requests) == 1


async def test_a_slow_drip_ends_at_the_deadline() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(b"\r\n")
            await writer.drain()
            await asyncio.sleep(0.002)

    async with loopback_server(serve) as port:
        transport = http_transport()
        with pytest.raises(TimeoutError):
            await transport.send(HttpRequest("GET", f"http://127.0.0.1:{port}", {}), now() + 0.03)
        await transport.aclose()


async def test_each_read_may_have_its_own_deadline() -> None:
    async with transport_to((OK[:-1], SocketFault.STALL)) as (transport, server):
        response = await transport.send(get(server), now() + 60.0)
        first = await response.body.read(now() + 60.0)
        with pytest.raises(TimeoutError):
            await response.body.read(now() + 0.02)

        assert first == b"o"
        await asyncio.wait_for(server.disconnected.wait(), 5.0)


async def test_later_deadlines_are_enforced_after_earlier_ones() -> None:
    async with transport_to((SocketFault.STALL,)) as (transport, server):
        start = now()
        outcomes = await asyncio.gather(
            *(transport.send(get(server), start + seconds) for seconds in (0.06, 0.02, 0.04)), return_exceptions=True
        )

        assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
        assert now() - start < 10.0


async def test_waiting_for_a_connection_ends_at_the_deadline() -> None:
    async with transport_to((SocketFault.STALL,), max_connections=1, connect_timeout=60.0) as (transport, server):
        first = asyncio.create_task(transport.send(get(server)))
        await server.request_received.wait()
        with pytest.raises(TimeoutError):
            await transport.send(get(server), now() + 0.02)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first


async def test_waiting_for_a_connection_ends_after_the_connect_timeout() -> None:
    async with transport_to((SocketFault.STALL,), max_connections=1, connect_timeout=0.5) as (transport, server):
        first = asyncio.create_task(transport.send(get(server)))
        await server.request_received.wait()
        with pytest.raises(Overloaded, match=r"all 1 connections were in use for 0\.5 s"):
            await transport.send(get(server))
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first


@in_virtual_time
async def test_idle_connections_are_closed_after_a_while() -> None:
    async with transport_to((OK,)) as (transport, server):
        await read_all(await transport.send(get(server)))
        await asyncio.sleep(0.9 * IDLE_TIMEOUT_SECONDS)
        before = transport.pool.idle_connections
        await asyncio.sleep(0.2 * IDLE_TIMEOUT_SECONDS)

        assert (before, transport.pool.idle_connections) == (1, 0)


async def test_connections_are_reused_only_for_the_same_origin() -> None:
    async with transport_to((OK,)) as (transport, server):
        for url in (server.url, server.url.replace("127.0.0.1", "localhost"), server.url + "/other"):
            await read_all(await transport.send(HttpRequest("GET", url, {})))

        assert server.connections == 2


async def test_a_closed_pool_refuses_requests() -> None:
    async with transport_to((SocketFault.STALL,)) as (transport, server):
        sending = asyncio.create_task(transport.send(get(server)))
        await server.request_received.wait()
        await transport.aclose()
        with pytest.raises(GatewayError):
            await sending
        with pytest.raises(ProviderUnreachable, match="are closed"):
            await transport.send(get(server))


async def test_literal_addresses_are_not_looked_up() -> None:
    def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror("must not be called")

    async with raw_server((OK,)) as server:
        transport = http_transport(getaddrinfo=getaddrinfo)
        assert await read_all(await transport.send(get(server))) == b"ok"
        await transport.aclose()
