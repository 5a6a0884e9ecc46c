"""Run a server until a signal, as `aimanager-server serve` does."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import structlog

from ..config.environment import unknown_variables
from ..config.errors import SettingsError, StartupError
from ..config.loader import ConfigSource
from ..config.settings import Settings
from ..lifecycle import check_startup, running_app
from ..reload import ignore_hangup, live_reload
from ..telemetry import logs
from ..telemetry.redaction import ConfiguredSecrets, redact
from ..telemetry.stderr_capture import STDERR, StderrCapture
from .allocator import return_large_blocks
from .quickstart import quickstart_text

MAX_LOG_TEXT_LENGTH = 20_000
"""Characters of a traceback or of another library's message in a log line."""


def run(settings: Settings, source: ConfigSource, *, quickstart: bool = False) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status; `quickstart` prints example commands once ready.

    SIGHUP and changed files load the settings from `source` again.
    """
    ignore_hangup()
    return_large_blocks()
    if sys.stderr is None:
        # Takes the free descriptor of stderr. Otherwise a socket would, and C libraries write to that descriptor.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    level, secrets = settings.server.log_level, ConfiguredSecrets(settings.secrets())
    with startup_errors() as status, StderrCapture(level, secrets.all(), MAX_LOG_TEXT_LENGTH) as capture:
        faulthandler.enable(STDERR)
        output = logs.configure(level, lambda text: redact(text, secrets.all(), MAX_LOG_TEXT_LENGTH), capture.stream)
        with closing(output), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, source, output, secrets, capture, quickstart=quickstart))
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


async def _serve(
    settings: Settings,
    source: ConfigSource,
    output: logs.Logs,
    secrets: ConfiguredSecrets,
    capture: StderrCapture,
    *,
    quickstart: bool,
) -> None:
    def dropped_log_lines() -> int:
        return output.dropped_count + capture.dropped_count

    _log_unknown_variables(source.environment)
    async with (
        running_app(settings, dropped_log_lines=dropped_log_lines) as app,
        live_reload(app, source, output, secrets, capture),
    ):
        app.state.metrics.export_state(
            {"log_lines": lambda: output.buffered_lines}, {"log_lines": lambda: output.buffered_bytes}
        )
        gc.freeze()  # what exists now stays: a full collection, which blocks the event loop, no longer visits it
        if quickstart:
            print(quickstart_text(settings, app.server.port), flush=True)
        await app.server.serve_until_signal()


def _log_unknown_variables(environment: Mapping[str, str]) -> None:
    log = structlog.get_logger()
    for variable in unknown_variables(environment):
        log.warning("config.unknown_variable", variable=variable.name, nearest=variable.nearest)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
