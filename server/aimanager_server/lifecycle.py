"""Start and stop all components of a server in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from .app import App
from .config.settings import Settings
from .extensions.registry import FeatureManager
from .operations.conversations import delete_expired
from .providers.plugins.registry import ProviderRegistry
from .rpc.server import GatewayServer
from .state import SharedState
from .telemetry.logger import get_logger
from .telemetry.metrics_server import MetricsServer, check_metrics_address

PLUGIN_LISTING_SECONDS = 1.0
"""How long startup waits for the model lists of plug-ins; later ones arrive while the server already serves."""

EXPIRY_INTERVAL_SECONDS = 60.0
"""Between two searches for expired conversations."""

ABORT_SECONDS = 1.0
"""How long what used the database may take to end once its connections are aborted."""


@asynccontextmanager
async def running_server(
    settings: Settings, registry: ProviderRegistry | None = None, features: FeatureManager | None = None
) -> AsyncIterator[GatewayServer]:
    """Run a server until the block ends; its `port` is the bound one.

    `registry` may hold plug-ins already, and `features` extensions. Raises StartupError if an address, certificate or
    route cannot be used, SettingsError for an unusable plug-in or extension.
    """
    async with running_app(settings, registry, features=features) as app:
        yield app.server


@asynccontextmanager
async def running_app(
    settings: Settings,
    registry: ProviderRegistry | None = None,
    dropped_log_lines: Callable[[], int] | None = None,
    features: FeatureManager | None = None,
) -> AsyncIterator[App]:
    """Run all components of a server until the block ends, as `running_server` does.

    `dropped_log_lines` returns how many lines the log has lost, for the metrics.
    """
    async with running_components(settings, registry, dropped_log_lines, features) as app, AsyncExitStack() as stack:
        await app.server.start()
        stack.push_async_callback(app.server.stop, 1.0)
        yield app


@asynccontextmanager
async def running_components(
    settings: Settings,
    registry: ProviderRegistry | None = None,
    dropped_log_lines: Callable[[], int] | None = None,
    features: FeatureManager | None = None,
) -> AsyncIterator[App]:
    """Run all components but the listener of the API until the block ends. Raises the errors of `running_server`."""
    app = App(settings, registry, features)
    if dropped_log_lines is not None:
        app.state.metrics.export_dropped_log_lines(dropped_log_lines)
    async with AsyncExitStack() as stack:
        stack.callback(app.state.close)
        stack.push_async_callback(app.aclose)
        if settings.server.metrics_listen is not None:
            await stack.enter_async_context(MetricsServer(settings.server.metrics_listen, app.state.metrics.registry))
        users: set[asyncio.Task[None]] = set()
        stack.push_async_callback(_close_storage, app.state, users)
        await app.state.storage.prepare()
        users.add(asyncio.ensure_future(delete_expired(app.state.storage, EXPIRY_INTERVAL_SECONDS)))
        app.state.metrics.export_tasks(asyncio.get_running_loop())
        app.state.lag_monitor.start()
        stack.callback(app.state.lag_monitor.stop)
        stack.push_async_callback(app.state.prober.aclose)
        listing = asyncio.ensure_future(app.list_plugin_models({}))
        stack.callback(listing.cancel)
        if app.components.provider_set.plugin_names:
            await asyncio.wait({listing}, timeout=PLUGIN_LISTING_SECONDS)
        yield app


async def _close_storage(state: SharedState, users: set[asyncio.Task[None]]) -> None:
    """Cancel the tasks that use the storage, store what is left, and close it, all within the close timeout.

    A database that does not respond is aborted then: closing one connection after another would take as long as a
    statement may take, times the number of connections.
    """
    closing = asyncio.ensure_future(_finish_storage(state, users))
    done, _ = await asyncio.wait({closing}, timeout=state.settings.storage.close_timeout_seconds)
    if not done:
        get_logger().error(
            "storage.close_timeout",
            pending_responses=state.storage.pending_responses,
            unfinished_turns=state.unfinished_turns.entries,
        )
        state.storage.abort()
        done, _ = await asyncio.wait({closing}, timeout=ABORT_SECONDS)
    if done:
        closing.result()


async def _finish_storage(state: SharedState, users: set[asyncio.Task[None]]) -> None:
    for task in users:
        task.cancel()
    if users:
        await asyncio.wait(users)  # before the database is closed, which they may be using
    await state.unfinished_turns.aclose()
    await state.storage.aclose()


async def check_startup(settings: Settings) -> None:
    """Raise what would keep `running_server` from starting, without listening or connecting.

    An address that is in use passes: the server that uses it may be the one to replace.
    """
    app = App(settings)
    try:
        if settings.server.metrics_listen is not None:
            check_metrics_address(settings.server.metrics_listen)
        app.server.check()
    finally:
        await app.aclose()
        app.state.close()
