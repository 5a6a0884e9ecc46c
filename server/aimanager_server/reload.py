"""Reload the configuration while the server runs: on SIGHUP, and when one of its files changes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .app import App, PreparedReload
from .config.difference import Change, differences
from .config.errors import Problem, SettingsError, StartupError
from .config.loader import ConfigSource, LoadedSettings
from .config.restart import until_restart
from .config.types import file_digest
from .telemetry.logger import get_logger
from .telemetry.logs import LEVELS, Logs
from .telemetry.redaction import ConfiguredSecrets
from .telemetry.stderr_capture import StderrCapture

MAX_LOGGED_CHANGES = 50
MAX_LOADS = 5
"""How often the settings are loaded until they name only files that were compared before."""

STOP_SECONDS = 1.0
EMPTY = "must not be empty after it was not; restart the server to use the defaults"


@dataclass(frozen=True, slots=True)
class ReloadTimings:
    """When files are loaded, in seconds."""

    poll: float = 1.0
    """How often the contents of the files are compared with those that were loaded."""
    settle: float = 0.25
    """Changed files are loaded once their contents are the same after this time: a file may be half written."""
    max_settle: float = 2.0
    """Files that keep changing are loaded after this time."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be used and reported: the components, None if nothing changed, and the settings by name."""

    trigger: str
    prepared: PreparedReload | None
    changes: list[str]
    needing_restart: list[str]


class _LoopClosedError(Exception):
    """The event loop of the server has ended."""


class Reloader:
    """Load the configuration of `app` again after `request`, and after a file that it names changed.

    A thread reads the files, validates the settings and builds the components, since a network file system may block;
    the event loop only swaps them. If a configuration cannot be used, the reason is logged and the current one stays.
    """

    def __init__(
        self,
        app: App,
        source: ConfigSource,
        logs: Logs | None = None,
        secrets: ConfiguredSecrets | None = None,
        capture: StderrCapture | None = None,
        timings: ReloadTimings | None = None,
    ) -> None:
        self._app = app
        self._source = source
        self._logs = logs
        self._secrets = secrets
        self._capture = capture
        self._timings = timings or ReloadTimings()
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ended = asyncio.Event()
        self._files: tuple[Path, ...] = ()
        self._used_files: tuple[Path, ...] = ()
        self._log = get_logger()

    def start(self) -> None:
        """Start watching. The first comparison is with the settings of `app`: the files may have changed since."""
        threading.Thread(target=self._run, name="config-reload", daemon=True).start()

    def request(self) -> None:
        """Reload now, whether or not a file changed. Safe to call from any thread."""
        self._wake.set()

    async def aclose(self) -> None:
        """Stop watching. A thread that a file system blocks is left behind."""
        self._stopping.set()
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._ended.wait()

    # in the thread

    def _run(self) -> None:
        with suppress(_LoopClosedError):
            self._watch()
            self._on_loop(self._ended.set)

    def _watch(self) -> None:
        loaded = self._first_digests()
        while not self._stopping.is_set():
            is_requested = self._wake.wait(self._timings.poll)
            if self._stopping.is_set():
                return
            self._wake.clear()
            if is_requested:
                loaded = self._reload("signal")
            elif self._digests() != loaded:
                self._wait_until_settled()
                loaded = self._reload("file")

    def _first_digests(self) -> dict[Path, str]:
        """Return the digests of the files if they contain what `app` was started with; if not, they have changed."""
        digests, loaded = self._load()
        is_same = not isinstance(loaded, Exception) and loaded.settings == self._app.started_settings
        return digests if is_same else {}

    def _digests(self) -> dict[Path, str]:
        return {file: file_digest(file) for file in self._files}

    def _wait_until_settled(self) -> None:
        deadline = time.monotonic() + self._timings.max_settle
        before = self._digests()
        while not self._stopping.wait(self._timings.settle) and time.monotonic() < deadline:
            now = self._digests()
            if now == before:
                return
            before = now

    def _reload(self, trigger: str) -> dict[Path, str]:
        """Load and use the settings; return the digests of their files, taken before they were read."""
        digests, loaded = self._load()
        try:
            self._on_loop(partial(self._use, self._prepare(trigger, loaded)))
        except SettingsError as error:
            self._on_loop(partial(self._reject, trigger, [str(problem) for problem in error.problems]))
        except StartupError as error:
            self._on_loop(partial(self._reject, trigger, [str(error)]))
        except _LoopClosedError:
            raise
        # A bug must neither end the thread nor the use of the current configuration.
        except Exception as error:
            problem = f"internal error: {type(error).__name__}"
            self._on_loop(partial(self._reject, trigger, [problem], error))
        return digests

    def _load(self) -> tuple[dict[Path, str], LoadedSettings | Exception]:
        """Load the settings, after the digest of each file that they name was taken."""
        loaded: LoadedSettings | Exception
        for _ in range(MAX_LOADS):
            digests = self._digests()
            try:
                loaded = self._source.load()
                self._files = self._used_files = loaded.files
            except Exception as error:  # raised again where it is reported
                loaded = error
                files = error.files if isinstance(error, SettingsError) else self._files
                self._files = tuple(dict.fromkeys((*self._used_files, *files)))
            if digests.keys() >= {*self._files}:
                break
        return {file: digests.get(file, "") for file in self._files}, loaded

    def _prepare(self, trigger: str, loaded: LoadedSettings | Exception) -> _Change:
        """Build the components of the settings. Raises SettingsError and StartupError if they cannot be used."""
        if isinstance(loaded, Exception):
            raise loaded
        app, current = self._app, self._app.state.settings
        settings = until_restart(app.started_settings, loaded.settings)
        needing_restart = [change.setting for change in differences(settings, loaded.settings)]
        if settings.unknown_callers > app.state.unknown_callers:
            needing_restart.append("server.allow_anonymous" if settings.callers else "callers")
        if settings == current:
            return _Change(trigger, None, [], needing_restart)
        self._check_not_emptied()
        if self._secrets is not None:
            self._secrets.add(settings.secrets())
            self._reconfigure_capture(current.server.log_level)
        prepared = app.prepare(settings)
        return _Change(trigger, prepared, _described(differences(current, settings)), needing_restart)

    def _check_not_emptied(self) -> None:
        """Reject an empty config file: it means the defaults, and is what a file looks like before it is written."""
        config = self._source.config
        if config is not None and config.stat().st_size == 0:
            raise SettingsError([Problem("config", f"file:{config}", EMPTY)])

    def _on_loop(self, act: Callable[[], None]) -> None:
        """Run a function on the event loop and wait for it."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def run() -> None:
            try:
                act()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError as error:
            raise _LoopClosedError from error
        done.result()

    # on the event loop

    def _use(self, change: _Change) -> None:
        app = self._app
        old_level = app.state.settings.server.log_level
        if change.prepared is not None:
            app.activate(change.prepared)
        new_level = app.state.settings.server.log_level
        self._set_level(min(old_level, new_level, key=LEVELS.index))
        app.state.metrics.count_reload(succeeded=True)
        self._log.info("config.reloaded", trigger=change.trigger, changes=change.changes)
        if change.needing_restart:
            self._log.warning("config.restart_required", settings=change.needing_restart)
        self._set_level(new_level)

    def _set_level(self, level: str) -> None:
        if self._logs is not None:
            self._logs.set_level(level)
            self._app.state.telemetry.bind_logger()
        self._reconfigure_capture(level)

    def _reconfigure_capture(self, level: str) -> None:
        if self._capture is not None and self._secrets is not None:
            self._capture.reconfigure(level, self._secrets.all())

    def _reject(self, trigger: str, problems: list[str], bug: Exception | None = None) -> None:
        self._app.state.metrics.count_reload(succeeded=False)
        self._log.error("config.reload_failed", trigger=trigger, problems=problems, exc_info=bug)


def _described(changes: Iterable[Change]) -> list[str]:
    texts = [str(change) for change in changes]
    more = len(texts) - MAX_LOGGED_CHANGES
    return texts if more <= 0 else [*texts[:MAX_LOGGED_CHANGES], f"{more} more"]


@asynccontextmanager
async def live_reload(
    app: App,
    source: ConfigSource,
    logs: Logs | None = None,
    secrets: ConfiguredSecrets | None = None,
    capture: StderrCapture | None = None,
) -> AsyncIterator[Reloader]:
    """Reload the configuration on SIGHUP and when its files change, until the block ends. Use it in the main thread."""
    reloader = Reloader(app, source, logs, secrets, capture)
    with _on_hangup(reloader.request):
        reloader.start()
        try:
            yield reloader
        finally:
            await reloader.aclose()


@contextmanager
def _on_hangup(act: Callable[[], None]) -> Iterator[None]:
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, act)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        ignore_hangup()


def ignore_hangup() -> None:
    """Survive SIGHUP while it has no handler: before the server has started, and while it stops."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
