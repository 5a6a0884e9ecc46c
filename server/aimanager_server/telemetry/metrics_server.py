"""Serves the Prometheus metrics over HTTP."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import structlog
from prometheus_client import CollectorRegistry, start_http_server

from ..config.errors import StartupError


class MetricsServer:
    """Serve `/metrics` from a thread, as a context manager. `port` is the port it listens on."""

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        except OSError as error:
            raise StartupError(
                f"Cannot listen on {address!r} for metrics: {error.strerror}. "
                'Stop the other process, or set server.metrics_listen to a free address or "off".'
            ) from error
        self.port = self._server.server_port
        structlog.get_logger().info("metrics_server.started", port=self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
