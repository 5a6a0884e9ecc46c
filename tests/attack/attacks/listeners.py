"""Connections to the metrics listener that send nothing."""

from __future__ import annotations

import asyncio
import urllib.request
from contextlib import suppress

from tests.attack.attack import Attack, Received, Target

CONNECTIONS, WORKERS, OPEN_FILES = 300, 4, 256
OPEN_SECONDS, HOLD_SECONDS = 5.0, 2.0
PAUSE_SECONDS = 0.02
"""Between two connections of a worker: the listener queues only 5 that it has not accepted yet."""
SCRAPE_SECONDS = 3.0


async def _hold_connections(target: Target) -> Received:
    """Open connections at a pace that the server accepts, hold them, and scrape the metrics meanwhile."""
    received, numbers = Received(), iter(range(CONNECTIONS))
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> None:
        for _ in numbers:
            _, writer = await asyncio.open_connection("127.0.0.1", target.metrics_port)
            writers.append(writer)
            await asyncio.sleep(PAUSE_SECONDS)

    with suppress(TimeoutError):
        async with asyncio.timeout(OPEN_SECONDS):
            await asyncio.gather(*(connect() for _ in range(WORKERS)))
    received.outcomes["connected"] = len(writers)
    await asyncio.sleep(HOLD_SECONDS)
    received.figures["failed_scrapes"] = 0 if await asyncio.to_thread(_can_scrape, target.metrics_port) else 1
    for writer in writers:
        writer.transport.abort()
    return received


def _can_scrape(metrics_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=SCRAPE_SECONDS) as response:
            return b"aimanager_" in response.read()
    except OSError:
        return False


ATTACKS = (
    Attack(
        "silent_connections",
        f"{CONNECTIONS} silent connections to the metrics listener, with ulimit -n {OPEN_FILES}",
        _hold_connections,
        open_files=OPEN_FILES,
        max_figures={"failed_scrapes": 0},
    ),
)
