"""Streams that stay open without work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.attack.attack import Attack, Received, Target
from tests.attack.http2_connection import authorization, call_headers, open_connection
from tests.attack.requests import ACCOMPLICE, ATTACKER
from tests.support.http2 import DATA, EMPTY_MESSAGE, END_STREAM, frame

WATCH_PROVIDERS, WATCH = "/aimanager.v1.HealthService/WatchProviderHealth", "/grpc.health.v1.Health/Watch"
PROVIDER_WATCHES, HEALTH_WATCHES, CONNECTIONS = 256, 5000, 50
HOLD_SECONDS = 3.0
MAX_PROVIDER_WATCHES, MAX_HEALTH_WATCHES = 32, 256
"""Default limits: 16 of one caller; all of the standard health service."""


async def _hold_watches(port: int, headers: Sequence[bytes]) -> Received:
    """Open a watch with each of the headers, in equal parts on each connection, and hold them."""
    received = Received()

    async def hold(share: Sequence[bytes]) -> int:
        async with open_connection(port) as connection:
            for encoded in share:
                stream = connection.open_stream(encoded)
                connection.send(frame(DATA, END_STREAM, stream, EMPTY_MESSAGE))
            await connection.drain()
            await asyncio.sleep(HOLD_SECONDS)
            received.outcomes += connection.received
            return connection.open_streams

    size = -(-len(headers) // CONNECTIONS)
    shares = [headers[start : start + size] for start in range(0, len(headers), size)]
    received.figures["open_watches"] = sum(await asyncio.gather(*map(hold, shares)))
    return received


async def _watch_providers(target: Target) -> Received:
    callers = [call_headers(WATCH_PROVIDERS, *authorization(caller)) for caller in (ATTACKER, ACCOMPLICE)]
    return await _hold_watches(target.port, callers * PROVIDER_WATCHES)


async def _watch_health(target: Target) -> Received:
    return await _hold_watches(target.port, [call_headers(WATCH)] * HEALTH_WATCHES)


ATTACKS = (
    Attack(
        "provider_watches",
        f"2 × {PROVIDER_WATCHES} WatchProviderHealth by two callers",
        _watch_providers,
        max_figures={"open_watches": MAX_PROVIDER_WATCHES},
    ),
    Attack(
        "health_watches",
        f"{HEALTH_WATCHES} grpc.health.v1 Watch without a token on {CONNECTIONS} connections",
        _watch_health,
        max_figures={"open_watches": MAX_HEALTH_WATCHES},
    ),
)
