"""Run a server until a signal, as `aimanager-server serve` does."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from ..app import check_startup, running_server
from ..config.errors import SettingsError, StartupError
from ..config.settings import Settings
from ..telemetry import logs
from ..telemetry.log_writer import LogWriter
from ..telemetry.redaction import redact
from ..telemetry.stderr_capture import STDERR, StderrCapture
from .quickstart import quickstart_text

MAX_LOG_TEXT_LENGTH = 20_000
"""Characters of a traceback or of another library's message in a log line."""


def run(settings: Settings, *, quickstart: bool = False) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status; `quickstart` prints example commands once ready."""
    if sys.stderr is None:
        # Takes the free descriptor of stderr. Otherwise a socket would, and C libraries write to that descriptor.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    level, secrets = settings.server.log_level, settings.secrets()
    redactor = partial(redact, secrets=secrets, max_length=MAX_LOG_TEXT_LENGTH)
    with startup_errors() as status, StderrCapture(level, secrets, MAX_LOG_TEXT_LENGTH) as capture:
        faulthandler.enable(STDERR)
        log_writer = logs.configure(level, redactor, capture.stream)
        with closing(log_writer), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            dropped_log_lines = partial(_dropped_log_lines, log_writer, capture)
            runner.run(_serve(settings, dropped_log_lines, quickstart=quickstart))
    return status.code


def check(settings: Settings) -> int:
    """Run every check of `run` without serving. Print the same error, or that the settings are usable."""
    logs.configure("error", str)
    with startup_errors() as status:
        asyncio.run(check_startup(settings))
        print("The settings are usable.")
    return status.code


@dataclass(slots=True)
class ExitStatus:
    """The status to exit with: 1 if the server cannot start, 2 for invalid settings, else 0."""

    code: int = 0


@contextmanager
def startup_errors() -> Iterator[ExitStatus]:
    """Print the error that keeps the server from starting, and set the exit status to it."""
    status = ExitStatus()
    try:
        yield status
    except (StartupError, SettingsError) as error:
        print(f"aimanager-server: {error}", file=sys.stderr)
        status.code = 2 if isinstance(error, SettingsError) else 1


async def _serve(settings: Settings, dropped_log_lines: Callable[[], int], *, quickstart: bool) -> None:
    async with running_server(settings, dropped_log_lines=dropped_log_lines) as server:
        gc.freeze()  # what exists now stays: a full collection, which blocks the event loop, no longer visits it
        if quickstart:
            print(quickstart_text(settings, server.port), flush=True)
        await server.serve_until_signal()


def _dropped_log_lines(writer: LogWriter, capture: StderrCapture) -> int:
    return writer.dropped_count + capture.dropped_count


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
