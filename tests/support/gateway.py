"""Complete gateways: the composition root, on an event loop in a separate thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from aimanager_server import lifecycle
from aimanager_server.config.loader import load
from aimanager_server.config.settings import Settings
from aimanager_server.extensions import FeatureManager
from aimanager_server.providers.plugins.registry import ProviderRegistry
from tests.support.settings import with_mock

Started = TypeVar("Started")

FAST_SERVER = {
    "listen": "127.0.0.1:0",
    "metrics_listen": "off",
    "drain_delay_seconds": 0.0,
    "drain_timeout_seconds": 1.0,
    "max_event_loop_lag_seconds": 30.0,
}
"""[server] settings of a gateway on a free port, which stops quickly and rejects no call if the machine is busy."""


def settings_with(environment: Mapping[str, str] | None = None, **sections: Any) -> Settings:
    """Return settings with these sections of a config file, and the mock provider.

    The environment of the test process is not read.
    """
    server = {**FAST_SERVER, **sections.pop("server", {})}
    return load(with_mock({"server": server, **sections}), None, environment or {}).settings


@contextmanager
def started_gateway(
    settings: Settings, registry: ProviderRegistry | None = None, features: FeatureManager | None = None
) -> Iterator[str]:
    """Run a gateway until the block ends and yield its host:port. It may have plug-ins and extensions."""
    running = lifecycle.running_server(settings, registry, features)
    with run_in_thread(lambda stack: stack.enter_async_context(running)) as (server, _):
        yield f"127.0.0.1:{server.port}"


@contextmanager
def run_in_thread(
    start: Callable[[AsyncExitStack], Awaitable[Started]],
) -> Iterator[tuple[Started, asyncio.AbstractEventLoop]]:
    """Run an event loop in a new thread until the block ends; yield the result of `start` and the loop."""
    started: list[Started] = []
    is_ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        try:
            async with AsyncExitStack() as stack:
                started.append(await start(stack))
                is_ready.set()
                await stop.wait()
        finally:
            is_ready.set()

    runner = asyncio.Runner()
    thread = threading.Thread(target=lambda: runner.run(serve()), name="gateway")
    thread.start()
    is_ready.wait()
    try:
        assert started, "the server did not start"
        yield started[0], runner.get_loop()
    finally:
        runner.get_loop().call_soon_threadsafe(stop.set)
        thread.join()
        runner.close()
