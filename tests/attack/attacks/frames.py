"""HTTP/2 frames that no gRPC client sends, as fast as the server reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.attack.attack import Attack, Received, Target
from tests.attack.http2_connection import Http2Connection, authorization, call_headers, open_connection
from tests.attack.requests import ATTACKER, GENERATE
from tests.support.http2 import PING, SETTINGS, frame

FLOOD_SECONDS = 3.0
BATCH = 50
MAX_FRAMES = 1_000_000
RESET_HEADERS = call_headers(GENERATE, *authorization(ATTACKER))
PINGS = frame(PING, 0, 0, bytes(8)) * BATCH
EMPTY_SETTINGS = frame(SETTINGS, 0, 0, b"") * BATCH


def _reset_calls(connection: Http2Connection) -> None:
    for _ in range(BATCH):
        connection.reset(connection.open_stream(RESET_HEADERS))


def _ping(connection: Http2Connection) -> None:
    connection.send(PINGS)


def _change_settings(connection: Http2Connection) -> None:
    connection.send(EMPTY_SETTINGS)


async def _flood(target: Target, send: Callable[[Http2Connection], None]) -> Received:
    """Send batches until the time is over. A connection that the server closes is opened again."""
    received, loop = Received(), asyncio.get_running_loop()
    ends_at, sent, connections = loop.time() + FLOOD_SECONDS, 0, 0
    while loop.time() < ends_at and sent < MAX_FRAMES:
        async with open_connection(target.port) as connection:
            connections += 1
            while not connection.is_closed and loop.time() < ends_at and sent < MAX_FRAMES:
                send(connection)
                sent += BATCH
                await connection.drain()
            received.outcomes += connection.received
    received.figures |= {"sent": sent, "connections": connections}
    return received


async def _reset_rapidly(target: Target) -> Received:
    return await _flood(target, _reset_calls)


async def _flood_pings(target: Target) -> Received:
    return await _flood(target, _ping)


async def _flood_settings(target: Target) -> Received:
    return await _flood(target, _change_settings)


ATTACKS = (
    Attack("rapid_reset", f"calls on one connection that are reset at once, for {FLOOD_SECONDS:g} s", _reset_rapidly),
    Attack("ping_flood", f"PING frames for {FLOOD_SECONDS:g} s", _flood_pings),
    Attack("settings_flood", f"SETTINGS frames for {FLOOD_SECONDS:g} s", _flood_settings),
)
