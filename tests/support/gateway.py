"""Starts whole servers: the real composition, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from aimanager_server import app
from aimanager_server.config.loader import load
from aimanager_server.config.settings import Settings
from aimanager_server.providers.plugins.registry import ProviderRegistry

Begun = TypeVar("Begun")

QUICK = {"listen": "127.0.0.1:0", "metrics_listen": "off", "drain_notice_seconds": 0.0, "drain_seconds": 1.0}


def settings_with(environment: Mapping[str, str] | None = None, **sections: Any) -> Settings:
    """Settings as an operator would write them, on free ports; nothing of this machine's environment."""
    server = {**QUICK, **sections.pop("server", {})}
    return load({"server": server, **sections}, None, environment or {}).settings


@contextmanager
def served(settings: Settings, registry: ProviderRegistry | None = None) -> Iterator[str]:
    """host:port of a server that runs until the block ends; `registry` may hold plug-ins."""
    with in_thread(lambda stack: stack.enter_async_context(app.running(settings, registry))) as (server, _):
        yield f"127.0.0.1:{server.port}"


@contextmanager
def in_thread(
    begin: Callable[[AsyncExitStack], Awaitable[Begun]],
) -> Iterator[tuple[Begun, asyncio.AbstractEventLoop]]:
    """What `begin` gives, and the loop in a thread of its own that it runs on until the block ends."""
    begun: list[Begun] = []
    listening, leaving = threading.Event(), asyncio.Event()

    async def serve() -> None:
        try:
            async with AsyncExitStack() as stack:
                begun.append(await begin(stack))
                listening.set()
                await leaving.wait()
        finally:
            listening.set()

    runner = asyncio.Runner()
    thread = threading.Thread(target=lambda: runner.run(serve()), name="gateway")
    thread.start()
    listening.wait()
    try:
        assert begun, "the server did not start"
        yield begun[0], runner.get_loop()
    finally:
        runner.get_loop().call_soon_threadsafe(leaving.set)
        thread.join()
        runner.close()
