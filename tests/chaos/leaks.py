"""Looks for what calls left behind in a server after all of them ended."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from aimanager_server.pipeline.idempotency import Repeat
from aimanager_server.resilience.circuit_breaker import Breaker
from aimanager_server.resilience.concurrency_limiter import Gate
from aimanager_server.resilience.key_pool import KeyRing
from aimanager_server.resilience.rate_limiter import Limiter
from aimanager_server.telemetry.model_stats import Quality
from tests.chaos.environment import House
from tests.integration.faults.upstream import Upstream

FILES = Path("/proc/self/fd")


def sockets() -> int:
    """Open in this process."""
    count = 0
    for number in os.listdir(FILES):
        with suppress(OSError):
            count += os.readlink(FILES / number).startswith("socket:")
    return count


def leaks(house: House) -> Iterator[str]:
    """What is still held, though nobody asks for anything any more."""
    if house.admit.in_flight or house.admit.waiting:
        yield f"admission: {house.admit.in_flight} calls hold places, {house.admit.waiting} wait"
    under_way = house.app.metrics.registry.get_sample_value("aimanager_in_flight")
    if under_way:
        yield f"aimanager_in_flight is {under_way}"
    yield from _held(house)
    yield from _not_put_down(house)
    yield from _stuck_circuits(house)


def _held(house: House) -> Iterator[str]:
    for gate in house.parts(Gate):
        if gate.in_use or gate.waiting or gate._held:
            yield f"a gate of {gate._most}: {gate.in_use} places are held by {gate._held}, {gate.waiting} wait"
    for ring in house.parts(KeyRing):
        busy = {kept.key.id: kept.under_way for kept in ring._kept if kept.under_way}
        if busy:
            yield f"keys count calls that have ended: {busy}"
    for repeat in house.parts(Repeat):
        if repeat._running:
            yield f"{len(repeat._running)} idempotency keys count as running"
    for quality in house.parts(Quality):
        if quality._under_way:
            yield f"attempts count as under way: {quality._under_way}"


def _not_put_down(house: House) -> Iterator[str]:
    for one in house.sendings:
        if not one.is_over:
            said = [line for line in house.lines if line.get("request_id") == one.call]
            yield f"{one.call}: an answer of {one.provider} ({one.ended!r}) was never put down: {said}"


def _stuck_circuits(house: House) -> Iterator[str]:
    for breaker in house.parts(Breaker):
        if breaker._trial:
            yield f"a trial of {breaker.provider}/{breaker.model} with key {breaker.key_id!r} never ended"


def busy_connections(house: House, names: tuple[str, ...]) -> int:
    """Of the pools: those that a request holds."""
    return house.there(lambda: sum(map(lambda name: _acquired(house, name), names)))


def _acquired(house: House, name: str) -> int:
    session = house.app.providers[name]._transport._session  # type: ignore[attr-defined]
    return 0 if session is None else len(session.connector._acquired)


def idle_connections(house: House, names: tuple[str, ...]) -> int:
    """Of the pools: those that wait for a request."""

    def idle(name: str) -> int:
        session = house.app.providers[name]._transport._session  # type: ignore[attr-defined]
        return 0 if session is None else sum(len(kept) for kept in session.connector._conns.values())

    return house.there(lambda: sum(map(idle, names)))


def open_connections(upstreams: list[Upstream]) -> int:
    """As the upstreams see it."""
    return sum(upstream.open_now for upstream in upstreams)


def windows(house: House) -> dict[tuple[str, str], float]:
    """What each caller is said to have used in the last minute, by caller and quota."""
    (limiter,) = house.parts(Limiter)

    def totals() -> dict[tuple[str, str], float]:
        return {key: limiter._window(*key).total for key in tuple(limiter._windows)}

    return house.there(totals)


def more(before: Counter[str], after: Counter[str]) -> str:
    """What there is more of than before, in words."""
    return ", ".join(f"{count} × {name}" for name, count in sorted((after - before).items()))
