"""The HTTP listener of the metrics: responses, and bounds for connections, sizes, time and work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector

from aimanager_server.telemetry.metrics_server import MAX_CONNECTIONS, MAX_HEAD_BYTES, MetricsServer
from aimanager_server.telemetry.shared_rendering import SharedRendering
from tests.support.eventually import eventually

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
TIMEOUT = 10.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class ControlledCollector(Collector):
    """Blocks each scrape until `may_collect` is set; fails if `error` is set."""

    error: Exception | None = None
    may_collect: threading.Event = field(default_factory=threading.Event)

    def collect(self) -> Iterable[Metric]:
        self.may_collect.wait(TIMEOUT)
        if self.error is not None:
            raise self.error
        return ()

    def describe(self) -> Iterable[Metric]:
        return ()


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("calls", "Calls.", registry=registry).inc(3)
    return registry


@pytest.fixture
async def server(registry: CollectorRegistry) -> AsyncIterator[MetricsServer]:
    async with MetricsServer("127.0.0.1:0", registry) as server:
        yield server


async def connect(server: MetricsServer, request: bytes = b"", host: str = "127.0.0.1") -> Connection:
    reader, writer = await asyncio.open_connection(host, server.port)
    writer.write(request)
    return reader, writer


async def rest(connection: Connection) -> bytes:
    """Return what the server sends until it closes the connection."""
    reader, writer = connection
    try:
        return await asyncio.wait_for(reader.read(), TIMEOUT)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def respond(server: MetricsServer, request: bytes) -> tuple[str, bytes]:
    """Return the status line and the body."""
    head, _, body = (await rest(await connect(server, request))).partition(b"\r\n\r\n")
    return head.splitlines()[0].decode(), body


@pytest.mark.parametrize("target", [b"/metrics", b"/metrics?a=b"])
async def test_get_returns_the_metrics(server: MetricsServer, target: bytes) -> None:
    status, body = await respond(server, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    assert status == "HTTP/1.1 200 OK"
    assert b"calls_total 3.0" in body


async def test_the_response_has_the_content_type_of_prometheus_and_ends_the_connection(server: MetricsServer) -> None:
    head = (await rest(await connect(server, GET))).partition(b"\r\n\r\n")[0].decode()

    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert headers["Connection"] == "close"


async def test_head_returns_the_headers_alone(server: MetricsServer) -> None:
    assert await respond(server, GET.replace(b"GET", b"HEAD")) == ("HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"GET /metrics/x HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        (b"GET /metrics\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"\x16\x03\x01\x00\xff\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"PRI * HTTP/2.0\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 2000, "HTTP/1.1 431 Request Header Fields Too Large"),
        (b"GET /" + b"x" * 2 * MAX_HEAD_BYTES, "HTTP/1.1 431 Request Header Fields Too Large"),
    ],
)
async def test_other_requests_are_rejected(server: MetricsServer, request_bytes: bytes, status: str) -> None:
    response = await rest(await connect(server, request_bytes))

    assert response.startswith(status.encode()) or "431" in status  # a reset may overtake this response
    assert b"calls_total" not in response


async def test_a_rejected_method_names_the_accepted_ones(server: MetricsServer) -> None:
    assert b"\r\nAllow: GET, HEAD\r\n" in await rest(await connect(server, b"PUT /metrics HTTP/1.1\r\n\r\n"))


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\n"])
async def test_a_client_that_does_not_complete_its_request_is_disconnected(
    registry: CollectorRegistry, sent: bytes
) -> None:
    async with MetricsServer("127.0.0.1:0", registry, head_seconds=0.01) as server:
        assert await rest(await connect(server, sent)) == b""


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["label"], registry=registry).labels("x" * 20_000_000)
    async with MetricsServer("127.0.0.1:0", registry, total_seconds=0.5) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(GET)
        await eventually(lambda: server.open_connections, 1)
        await eventually(lambda: server.open_connections, 0)

        received = await rest((reader, writer))

    assert len(received) < 20_000_000


async def test_silent_clients_do_not_keep_out_a_scraper(server: MetricsServer) -> None:
    silent = [await connect(server) for _ in range(2 * MAX_CONNECTIONS)]

    status, _ = await respond(server, GET)

    assert status == "HTTP/1.1 200 OK"
    assert server.open_connections <= MAX_CONNECTIONS
    assert [await rest(connection) for connection in silent[:MAX_CONNECTIONS]] == [b""] * MAX_CONNECTIONS
    for _, writer in silent[MAX_CONNECTIONS:]:
        writer.close()


async def test_clients_beyond_the_limit_are_disconnected_while_all_others_are_served() -> None:
    registry, collector = CollectorRegistry(), ControlledCollector()
    registry.register(collector)
    async with MetricsServer("127.0.0.1:0", registry) as server:
        served = [asyncio.ensure_future(respond(server, GET)) for _ in range(MAX_CONNECTIONS)]
        await eventually(lambda: server.open_connections - server.silent_connections, MAX_CONNECTIONS)

        surplus = await rest(await connect(server, GET))
        collector.may_collect.set()

        assert surplus == b""
        assert [status for status, _ in await asyncio.gather(*served)] == ["HTTP/1.1 200 OK"] * MAX_CONNECTIONS


async def test_a_failure_to_render_is_an_internal_error() -> None:
    registry, collector = CollectorRegistry(), ControlledCollector(RuntimeError("failed"))
    registry.register(collector)
    collector.may_collect.set()
    async with MetricsServer("127.0.0.1:0", registry) as server:
        status, _ = await respond(server, GET)

    assert status == "HTTP/1.1 500 Internal Server Error"


async def test_open_connections_are_closed_with_the_server(registry: CollectorRegistry) -> None:
    async with MetricsServer("127.0.0.1:0", registry) as server:
        connection = await connect(server, b"GET")
        await eventually(lambda: server.open_connections, 1)

    assert await rest(connection) == b""


async def test_an_ipv6_listener_accepts_ipv4(registry: CollectorRegistry) -> None:
    async with MetricsServer("[::]:0", registry) as server:
        assert (await respond(server, GET))[0] == "HTTP/1.1 200 OK"


async def test_requests_during_a_rendering_share_the_next_one() -> None:
    begun, may_render = threading.Event(), threading.Event()
    count = 0

    def render() -> bytes:
        nonlocal count
        count += 1
        begun.set()
        may_render.wait(TIMEOUT)
        return str(count).encode()

    rendering = SharedRendering(render)
    first = asyncio.ensure_future(rendering.latest())
    await asyncio.to_thread(begun.wait, TIMEOUT)
    others = [asyncio.ensure_future(rendering.latest()) for _ in range(5)]
    await asyncio.sleep(0)
    may_render.set()

    assert await first == b"1"
    assert await asyncio.gather(*others) == [b"2"] * 5
    rendering.close()
