"""HTTP transports on real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

from aimanager_server.providers.http.connector import tls_context
from aimanager_server.providers.http.dns_cache import CachingResolver, GetAddrInfo
from aimanager_server.providers.http.transport import HttpTransport


def http_transport(
    *,
    max_connections: int = 10,
    max_idle_connections: int = 10,
    connect_timeout: float = 5.0,
    getaddrinfo: GetAddrInfo = socket.getaddrinfo,
    ca_file: Path | None = None,
    proxy: str | None = None,
) -> HttpTransport:
    """Return a transport on real sockets for a provider named "upstream"."""
    return HttpTransport(
        "upstream",
        max_connections=max_connections,
        max_idle_connections=max_idle_connections,
        connect_timeout=connect_timeout,
        tls=lambda: tls_context(ca_file),
        proxy=proxy,
        resolver=CachingResolver(connect_timeout, getaddrinfo),
    )
