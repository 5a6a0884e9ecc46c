"""Resources that a gateway still holds after all calls have ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from aimanager_server.providers.http.pool import ConnectionPool
from aimanager_server.resilience.circuit_breaker import CircuitBreaker
from aimanager_server.resilience.concurrency_limiter import ConcurrencyLimiter
from aimanager_server.resilience.key_pool import KeyPool
from aimanager_server.resilience.rate_limiter import RateLimiter
from aimanager_server.storage.memory_idempotency import MemoryIdempotency
from aimanager_server.telemetry.model_stats import ModelStats
from tests.chaos.environment import ObservedGateway
from tests.integration.faults.upstream import Upstream

OPEN_FILES = Path("/proc/self/fd")
SETTLE_SECONDS = 20.0
"""How long connections may take to be closed or idle: longer than the gateway ever waits for the end of a response, and
than a busy machine takes to let an upstream notice that one was closed."""


def open_sockets() -> int:
    """Return the number of open sockets of this process."""
    count = 0
    for number in os.listdir(OPEN_FILES):
        with suppress(OSError):
            count += os.readlink(OPEN_FILES / number).startswith("socket:")
    return count


def leaks(gateway: ObservedGateway) -> Iterator[str]:
    """Yield a description of everything that is still held although no call is in flight."""
    admission = gateway.admission
    if admission.in_flight or admission.queued:
        yield f"admission: {admission.in_flight} calls hold permits, {admission.queued} are queued"
    in_flight = gateway.app.state.metrics.registry.get_sample_value("aimanager_requests_in_flight")
    if in_flight:
        yield f"aimanager_requests_in_flight is {in_flight}"
    yield from _held_resources(gateway)
    yield from _unreleased_responses(gateway)
    yield from _unfinished_trials(gateway)


def _held_resources(gateway: ObservedGateway) -> Iterator[str]:
    for limiter in gateway.instances(ConcurrencyLimiter):
        if limiter.in_flight or limiter.queued or limiter._permits:
            yield f"limiter of {limiter.limit}: {limiter._permits} hold permits, {limiter.queued} calls are queued"
    for pool in gateway.instances(KeyPool):
        busy = {pooled.key.id: pooled.in_flight for pooled in pool._keys if pooled.in_flight}
        if busy:
            yield f"API keys with calls in flight: {busy}"
    for store in gateway.instances(MemoryIdempotency):
        if store._in_flight:
            yield f"{len(store._in_flight)} idempotency keys in flight"
    for stats in gateway.instances(ModelStats):
        if stats._in_flight:
            yield f"model statistics with attempts in flight: {stats._in_flight}"


def _unreleased_responses(gateway: ObservedGateway) -> Iterator[str]:
    for call in gateway.provider_calls:
        if not call.is_released:
            entries = [entry for entry in gateway.log if entry.get("request_id") == call.request_id]
            yield f"{call.request_id}: response of {call.provider} ({call.outcome!r}) was never closed: {entries}"


def _unfinished_trials(gateway: ObservedGateway) -> Iterator[str]:
    for breaker in gateway.instances(CircuitBreaker):
        if breaker._is_trial_in_flight:
            yield f"trial call of {breaker.provider}/{breaker.model} with key {breaker.key_id!r} never ended"


def busy_connections(gateway: ObservedGateway) -> int:
    """Return the number of pooled connections in use."""
    pools = gateway.instances(ConnectionPool)
    return gateway.on_loop(lambda: sum(pool.exchanges_in_flight for pool in pools))


def idle_connections(gateway: ObservedGateway) -> int:
    """Return the number of idle pooled connections."""
    pools = gateway.instances(ConnectionPool)
    return gateway.on_loop(lambda: sum(pool.idle_connections for pool in pools))


async def connections_not_idle(gateway: ObservedGateway, upstreams: Sequence[Upstream]) -> int:
    """Wait until every open connection of the upstreams is idle. Return how many are not after SETTLE_SECONDS.

    The two counts are not taken at the same time, so idle connections that expire between them look busy for a moment.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        count = open_connections(upstreams) - idle_connections(gateway)
        if count <= 0 or time.monotonic() > deadline:
            return max(count, 0)
        await asyncio.sleep(0.05)


def open_connections(upstreams: Sequence[Upstream]) -> int:
    """Return the number of connections that the upstreams have open."""
    return sum(upstream.open_connections for upstream in upstreams)


def quota_usage(gateway: ObservedGateway) -> dict[tuple[str, str], float]:
    """Return the usage of the last minute by caller and quota."""
    (limiter,) = gateway.instances(RateLimiter)

    def totals() -> dict[tuple[str, str], float]:
        return {key: limiter._window(*key).total for key in tuple(limiter._windows)}

    return gateway.on_loop(totals)


def increases(before: Counter[str], after: Counter[str]) -> str:
    """Format by how much each count increased."""
    return ", ".join(f"{count} × {name}" for name, count in sorted((after - before).items()))
