"""Run a server until a signal, as `aimanager-server serve` does."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from contextlib import closing

from ..app import running_server
from ..config.errors import SettingsError, StartupError
from ..config.settings import Settings
from ..telemetry import logs
from ..telemetry.redaction import redact
from .quickstart import quickstart_text

MAX_LOG_TEXT_LENGTH = 20_000
"""Characters of a traceback or of another library's message in a log line."""


def run(settings: Settings, *, quickstart: bool = False) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status; `quickstart` prints example commands once ready."""
    if sys.stderr is None:
        # Takes the free descriptor of stderr. Otherwise a socket would, and C libraries write to that descriptor.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    secrets = settings.secrets()
    log_writer = logs.configure(
        settings.server.log_level, lambda text: redact(text, secrets, max_length=MAX_LOG_TEXT_LENGTH)
    )
    try:
        with closing(log_writer), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, quickstart=quickstart))
    except StartupError as error:
        print(f"aimanager-server: {error}", file=sys.stderr)
        return 1
    except SettingsError as error:
        print(f"aimanager-server: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(settings: Settings, *, quickstart: bool) -> None:
    async with running_server(settings) as server:
        gc.freeze()  # what exists now stays: a full collection, which blocks the event loop, no longer visits it
        if quickstart:
            print(quickstart_text(settings, server.port), flush=True)
        await server.serve_until_signal()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
