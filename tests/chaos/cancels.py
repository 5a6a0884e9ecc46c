"""Callers that cancel in every phase of a call: how long until the upstream connection or the permit is released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import grpc.aio

from tests.chaos.environment import ObservedGateway, observed_gateway
from tests.chaos.leaks import connections_not_idle, leaks
from tests.chaos.report import Report, quantile
from tests.chaos.requests import Client, provider_tables, wait_until
from tests.integration.faults.fault_catalog import fails, interrupts, stalls, stalls_after_headers
from tests.integration.faults.gateway import TIMEOUT_SETTINGS
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Connection, Upstream
from tests.support.gateway import settings_with
from tests.support.http_servers.raw import SocketFault

CANCELS = 200
CONCURRENCY = 4
PROMPT_SECONDS = 0.1
SLOWEST_SECONDS = 1.0
"""What the median may take, and the 99th percentile, which rises with whatever else the machine does."""
UNLIMITED = 10_000_000
MAX_IN_FLIGHT = 40
STREAMED_PHASES = (
    ("waiting for headers", "silent", False),
    ("waiting for headers, stream", "silent", True),
    ("before the first token", "opened", True),
    ("mid-stream", "interrupted", True),
    ("mid-response of a unary call streamed from upstream", "interrupted", False),
)


def cancels() -> Report:
    """Cancel calls in one phase after the other."""
    report = Report()
    upstreams = [
        Upstream(stalls(), name="silent"),
        Upstream(stalls_after_headers(), name="opened"),
        Upstream(interrupts(20, SocketFault.STALL), name="interrupted"),
        Upstream(fails(503, "Not now.", "Retry-After: 30"), name="failing"),
        Upstream(stalls(), name="one_permit", max_in_flight=1),
        Upstream(stalls(), name="one_connection", max_connections=1, connect_timeout_seconds=30.0),
    ]
    sections: dict[str, Any] = {
        "stream_timeouts": dict.fromkeys(TIMEOUT_SETTINGS, 60.0),
        "retry": {"budget_burst": UNLIMITED},
        "circuit_breaker": {"failure_threshold": UNLIMITED, "minimum_calls": UNLIMITED, "failure_rate_threshold": 1.0},
        "server": {"max_in_flight": MAX_IN_FLIGHT, "queue_timeout_seconds": 30.0},
    }
    with served_upstreams(*upstreams):
        settings = settings_with(providers=provider_tables(upstreams), **sections)
        with observed_gateway(settings) as gateway:
            asyncio.run(_run(gateway, {upstream.name: upstream for upstream in upstreams}, report))
    return report


async def _run(gateway: ObservedGateway, upstreams: dict[str, Upstream], report: Report) -> None:
    client = Client(gateway.target)
    for phase, name, streaming in STREAMED_PHASES:
        _record(report, phase, await _until_disconnected(client, upstreams[name], streaming=streaming))
    failing = upstreams["failing"]
    _record(report, "during backoff", await _until_released(client, gateway, failing, lambda: _all_released(gateway)))
    requests_before = len(failing.requests)
    for phase, name in (
        ("in the queue of a provider", "one_permit"),
        ("in the queue for a connection", "one_connection"),
    ):
        async with _Holders(client, gateway, upstreams[name], 1):
            _record(report, phase, await _until_released(client, gateway, upstreams[name], lambda: True, holders=1))
        report.at_most(f"cancel: {phase}: requests that reached the provider", len(upstreams[name].requests), 1)
    async with _Holders(client, gateway, upstreams["silent"], MAX_IN_FLIGHT):
        _record(report, "in the admission queue", await _until_dequeued(client, gateway))
    await asyncio.sleep(0.3)
    report.at_most("cancel: requests after a cancelled backoff", len(failing.requests) - requests_before, 0)
    not_idle = await connections_not_idle(gateway, [*upstreams.values()])
    report.at_most("cancel: upstream connections that are not idle", not_idle, 0)
    for one in leaks(gateway):
        report.violation(f"cancel: {one}")
    await client.channel.close()


async def _until_disconnected(client: Client, upstream: Upstream, *, streaming: bool) -> list[float]:
    """Return the seconds from each cancellation until the upstream connection is closed."""
    seconds: list[float] = []
    while len(seconds) < CANCELS:
        known = len(upstream.requests)
        calls = [
            client.stream(upstream.model) if streaming else client.generate(upstream.model, "one_permit/m")
            for _ in range(CONCURRENCY)
        ]
        readers = [asyncio.ensure_future(_read(call)) for call in calls]
        await wait_until(partial(_has_requests, upstream, known + CONCURRENCY))
        await asyncio.sleep(0.03)
        connections = [request.connection for request in upstream.requests[known:]]
        cancelled_at = time.monotonic()
        for call in calls:
            call.cancel()
        await wait_until(partial(_are_closed, connections))
        seconds += [_closed_at(connection) - cancelled_at for connection in connections]
        await asyncio.gather(*readers)
    return seconds


def _has_requests(upstream: Upstream, count: int) -> bool:
    return len(upstream.requests) >= count


def _are_closed(connections: list[Connection]) -> bool:
    return all(connection.peer_closed_at is not None for connection in connections)


def _closed_at(connection: Connection) -> float:
    return float("inf") if connection.peer_closed_at is None else connection.peer_closed_at


async def _until_released(
    client: Client, gateway: ObservedGateway, upstream: Upstream, is_ready: Callable[[], bool], holders: int = 0
) -> list[float]:
    """Return the seconds from each cancellation until the call holds no permit; `holders` calls keep theirs."""
    seconds: list[float] = []
    while len(seconds) < CANCELS:
        calls = [client.generate(upstream.model) for _ in range(CONCURRENCY)]
        readers = [asyncio.ensure_future(_read(call)) for call in calls]
        await wait_until(lambda: gateway.admission.in_flight >= holders + CONCURRENCY and is_ready())
        await asyncio.sleep(0.03)
        seconds += await _cancel_all(calls, lambda: gateway.admission.in_flight - holders)
        await asyncio.gather(*readers)
    return seconds


async def _until_dequeued(client: Client, gateway: ObservedGateway) -> list[float]:
    """Return the seconds from each cancellation until the call has left the admission queue."""
    seconds: list[float] = []
    while len(seconds) < CANCELS:
        calls = [client.generate("silent/m") for _ in range(CONCURRENCY)]
        readers = [asyncio.ensure_future(_read(call)) for call in calls]
        await wait_until(lambda: gateway.admission.queued >= CONCURRENCY)
        seconds += await _cancel_all(calls, lambda: gateway.admission.queued)
        await asyncio.gather(*readers)
    return seconds


async def _cancel_all(calls: list[Any], count_held: Callable[[], int]) -> list[float]:
    """Cancel the calls and return the seconds after which the number of held permits decreased for each."""
    cancelled_at, seconds = time.monotonic(), list[float]()
    for call in calls:
        call.cancel()
    while len(seconds) < len(calls) and time.monotonic() < cancelled_at + 5.0:
        seconds += [time.monotonic() - cancelled_at] * (len(calls) - count_held() - len(seconds))
        await asyncio.sleep(0.0005)
    return seconds + [float("inf")] * (len(calls) - len(seconds))


def _all_released(gateway: ObservedGateway) -> bool:
    return gateway.on_loop(lambda: all(call.is_released for call in gateway.provider_calls))


class _Holders:
    """Calls that hold permits until the block ends."""

    def __init__(self, client: Client, gateway: ObservedGateway, upstream: Upstream, count: int) -> None:
        self._calls = [client.generate(upstream.model) for _ in range(count)]
        self._readers = [asyncio.ensure_future(_read(call)) for call in self._calls]
        self._gateway = gateway

    async def __aenter__(self) -> None:
        await wait_until(lambda: self._gateway.admission.in_flight >= len(self._calls))
        await asyncio.sleep(0.1)

    async def __aexit__(self, *_: object) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._readers)
        await wait_until(lambda: self._gateway.admission.in_flight == 0)


async def _read(call: Any) -> None:
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call


def _record(report: Report, phase: str, seconds: list[float]) -> None:
    report.record(f"cancel: {phase}: cancellations", len(seconds))
    report.at_most(f"cancel: {phase}: p50, ms", 1000 * quantile(seconds, 0.5), 1000 * PROMPT_SECONDS)
    report.at_most(f"cancel: {phase}: p99, ms", 1000 * quantile(seconds, 0.99), 1000 * SLOWEST_SECONDS)
