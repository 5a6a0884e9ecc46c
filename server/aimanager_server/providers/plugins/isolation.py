"""The event loop in a separate thread on which a provider plug-in runs."""

from __future__ import annotations

from functools import partial

import httpx

from ...core.errors import GatewayError, ProviderInternalError
from ...resilience.isolated_loop import (
    RESPONSE_TIMEOUT_SECONDS,
    SHUTDOWN_TIMEOUT_SECONDS,
    Isolated,
    IsolatedLoop,
)
from ...telemetry.logger import get_logger
from ..http.connection_errors import from_httpx_error


def plugin_loop(
    name: str,
    response_timeout: float = RESPONSE_TIMEOUT_SECONDS,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT_SECONDS,
) -> IsolatedLoop:
    """Return the event loop of the plug-in of this name.

    Exceptions of httpx become the GatewayErrors of a failed connection, all others ProviderInternalError.
    """
    plugin = Isolated(
        "Plug-in", name, "plugins", ProviderInternalError, partial(_log_failure, name), partial(_log_blocked, name),
        _connection_error,
    )  # fmt: skip
    return IsolatedLoop(plugin, response_timeout, shutdown_timeout)


def _connection_error(error: BaseException) -> GatewayError | None:
    return from_httpx_error(error) if isinstance(error, httpx.TransportError) else None


def _log_failure(name: str, error: BaseException | None) -> None:
    get_logger().error("plugin.failed", plugin=name, error=type(error).__name__, exc_info=error)


def _log_blocked(name: str) -> None:
    get_logger().error("plugin.blocked", plugin=name)
