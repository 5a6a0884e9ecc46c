"""Run a server inside another program: on an event loop in a thread, called without a network.

It installs no signal handlers, configures neither `logging` nor structlog, and opens no port unless the program asks
for metrics. Several may run in one process.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .app import App
from .config.environment import CONFIG_ENV
from .config.loader import ConfigSource
from .config.settings import ServerSettings, Settings
from .config.storage import user_database_url
from .core.errors import InvalidRequest
from .core.request import Caller
from .extensions.registry import FeatureManager
from .lifecycle import running_components
from .pipeline.quota import seconds_until_admitted
from .resilience.rate_limiter import rejection_message
from .resilience.request_turns import RequestTurns
from .rpc.in_process import InProcessCall, InProcessServer
from .rpc.server import interceptor_chain
from .telemetry.logger import use_embedded_logger
from .telemetry.redaction import redact

Result = TypeVar("Result")

MAX_LOG_TEXT_LENGTH = 20_000
"""Characters of a traceback in a log record."""

STOP_SECONDS = 5.0
"""How long `close` waits for the thread: calls are cancelled and connections closed meanwhile."""

MAX_QUEUE_LENGTH = 100_000
"""Calls of the program that wait until fewer are in flight. All are its own, so that none is rejected earlier."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Which parts of an embedded server are on; None leaves it to the configuration, without ports and logs."""

    metrics: bool | None = None
    health_checks: bool | None = None
    rate_limiting: bool | None = None
    logging: bool | None = None


def load_embedded_settings(
    config: str | os.PathLike[str] | Mapping[str, Any] | None,
    providers: Mapping[str, Mapping[str, Any]],
    parts: Parts,
    environment: Mapping[str, str],
    *,
    keep_conversations: bool = False,
) -> Settings:
    """Load the settings of an embedded server from the sources of any server.

    `config` is the path of a config file, or its content, else the file that AIMANAGER_CONFIG names is read;
    `providers` overrides its providers. With `keep_conversations`, conversations are in the user's state directory
    unless a source names a database. Raises SettingsError, and OSError if that directory cannot be created.
    """
    arguments: dict[str, Any] = {"providers": providers}
    path: Path | None = None
    if isinstance(config, Mapping):
        arguments = _merged(config, arguments)
    else:
        chosen = config or environment.get(CONFIG_ENV)
        path = Path(chosen) if chosen else None
    settings = ConfigSource(arguments, path, environment).load().settings
    if keep_conversations and settings.storage.url is None:
        arguments = _merged(arguments, {"storage": {"url": user_database_url(environment)}})
        settings = ConfigSource(arguments, path, environment).load().settings
    return embedded_settings(settings, parts)


def embedded_settings(settings: Settings, parts: Parts) -> Settings:
    """Return the settings without what is meant for other callers than the program itself: listeners and tokens."""
    changes: dict[str, Any] = {"callers": {}, "server": _server_settings(settings.server, parts)}
    if parts.rate_limiting is False:
        changes["tiers"] = {}
    if parts.health_checks is False:
        changes["providers"] = {
            name: provider.model_copy(update={"probe": "off"}) for name, provider in settings.providers.items()
        }
    return settings.model_copy(update=changes)


def with_extensions(settings: Settings, extensions: Sequence[Any]) -> tuple[Settings, FeatureManager]:
    """Return the settings with these extensions enabled, after those that are listed, and a manager that has them.

    Raises SettingsError for an object that is not an extension.
    """
    features = FeatureManager()
    for extension in extensions:
        features.register_extension(extension)
    listed = settings.extensions.enabled
    enabled = [*listed, *(name for name in features.extensions if name not in listed)]
    used = settings.extensions.model_copy(update={"enabled": enabled})
    return settings.model_copy(update={"extensions": used}), features


def _server_settings(server: ServerSettings, parts: Parts) -> ServerSettings:
    exports_metrics = parts.metrics and "metrics_listen" in server.model_fields_set
    defaults = {
        "max_in_flight_per_caller": server.max_in_flight,
        "max_queue_length": MAX_QUEUE_LENGTH,
        "queue_timeout_seconds": server.stream_timeout_seconds,
        # The program may keep the interpreter busy; that is no reason to reject its calls.
        "max_event_loop_lag_seconds": math.inf,
    }
    return server.model_copy(
        update={
            "listen": ServerSettings().listen,
            "tls": None,
            "health_listen": None,
            "metrics_listen": server.metrics_listen if exports_metrics else None,
            "allow_anonymous": False,
            **{name: value for name, value in defaults.items() if name not in server.model_fields_set},
        }
    )


def _merged(lower: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for name, value in higher.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged


class EmbeddedServer:
    """A server on an event loop in a thread, which starts with the first call. Threads may share it.

    `startup_error` is why it could not start, if so; its calls then end with FAILED_PRECONDITION.
    """

    def __init__(self, settings: Settings, features: FeatureManager | None = None, *, logging: bool = False) -> None:
        self._settings = settings
        self._features = features
        self._logging = logging
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._server: InProcessServer | None = None
        self._waiting: list[InProcessCall] = []
        self._process = 0
        self._app: App | None = None
        self._is_ready = threading.Event()
        self._is_closed = False
        self.startup_error: BaseException | None = None

    def start_call(self, call: InProcessCall) -> None:
        """Start a call; it waits while the server starts. Never blocks. Ends it as CANCELLED after `close`."""
        with self._lock:
            if not self._is_closed and self._server is not None:
                self._server.start_call(call)
                return
            if not self._is_closed:
                self._waiting.append(call)
                self._start_thread()
                return
        self._refuse(call)

    def check_rate_limit(self, provider: str, tier: str) -> tuple[float, str]:
        """Return in how many seconds the quotas of a tier admit a request to a provider, and why not now.

        Both are empty if they do. Starts the server if need be, and blocks. Raises ProviderNotFound or InvalidRequest,
        and RuntimeError if the server could not start or is closed.
        """
        return self._run_on_loop(lambda app: _check_rate_limit(app, provider, tier))

    def _run_on_loop(self, work: Callable[[App], Result]) -> Result:
        with self._lock:
            self._start_thread()
        self._is_ready.wait()
        with self._lock:
            app, loop = self._app, self._loop
            if app is None or loop is None or self._is_closed:
                raise RuntimeError("the server is not running")
            future: Future[Result] = Future()
            loop.call_soon_threadsafe(_resolve, future, lambda: work(app))
        return future.result()

    def _start_thread(self) -> None:
        """Start the thread if it was not started. The lock is held."""
        if self._thread is None and not self._is_closed:
            self._process = os.getpid()
            self._thread = threading.Thread(target=self._run, name="aimanager-server", daemon=True)
            self._thread.start()
        elif self._thread is None:
            self._is_ready.set()

    def stop(self) -> None:
        """Begin to stop: cancel calls in flight and close connections. Never blocks. Idempotent.

        In a process that was forked from that of the server it does nothing: the thread is not there.
        """
        if self._process not in (0, os.getpid()):
            return
        with self._lock:
            self._is_closed = True
            loop, stop = self._loop, self._stop
            if loop is not None and stop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(stop.set)

    def close(self) -> None:
        """Stop, and wait until the thread has ended. Idempotent."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _refuse(self, call: InProcessCall) -> None:
        if self.startup_error is None:
            call.refuse("The call was cancelled because the client was closed.", is_closed=True)
        else:
            call.refuse("The server cannot start.", is_closed=False)

    # in the thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._serve())
        # SettingsError, StartupError, or a bug: the program learns of it from its calls.
        except BaseException as error:
            self.startup_error = error
        finally:
            with self._lock:
                self._server, self._app, self._is_closed = None, None, True
                waiting, self._waiting = self._waiting, []
            self._is_ready.set()
            for call in waiting:
                self._refuse(call)

    async def _serve(self) -> None:
        secrets = self._settings.secrets()
        use_embedded_logger(lambda text: redact(text, secrets, MAX_LOG_TEXT_LENGTH), enabled=self._logging)
        stop = asyncio.Event()
        with self._lock:
            self._loop, self._stop = asyncio.get_running_loop(), stop
            if self._is_closed:
                return
        async with running_components(self._settings, features=self._features) as app:
            chain = interceptor_chain(app.components.settings, app.components.interceptors, RequestTurns())
            server = InProcessServer(chain, app.components.services)
            with self._lock:
                self._server, self._app = server, app
                waiting, self._waiting = self._waiting, []
            self._is_ready.set()
            for call in waiting:
                server.start_call(call)
            await stop.wait()
            with self._lock:
                self._server, self._app = None, None
            await server.cancel_calls()


def _resolve(future: Future[Result], work: Callable[[], Result]) -> None:
    try:
        future.set_result(work())
    # The thread that waits for the result raises it.
    except BaseException as error:
        future.set_exception(error)


def _check_rate_limit(app: App, provider: str, tier: str) -> tuple[float, str]:
    app.state.health.report(provider)  # raises ProviderNotFound
    tiers = app.components.settings.tiers
    if not tiers:
        return 0.0, ""
    if tier not in tiers:
        raise InvalidRequest(f"Unknown tier {tier!r}; defined tiers: {', '.join(sorted(tiers))}.")
    seconds = seconds_until_admitted(app.state.rate_limiter, tiers[tier], Caller().name, provider)
    return seconds, rejection_message(seconds) if seconds else ""


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
