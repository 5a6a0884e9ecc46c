"""Addresses to listen on: open their sockets, check that they can be opened, and compare them."""

from __future__ import annotations

import errno
import socket

ALL_INTERFACES = ("0.0.0.0", "::")


def bound_socket(address: str) -> socket.socket:
    """Return a socket bound to HOST:PORT; an IPv6 one accepts IPv4 too, as gRPC's do. Raises OSError."""
    host, port = _split(address)
    family, kind, protocol, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(bound)
    except OSError:
        listener.close()
        raise
    return listener


def check_bindable(address: str) -> None:
    """Raise OSError if this machine cannot listen on HOST:PORT. An address that is in use passes."""
    try:
        bound_socket(address).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise


def overlap(address: str, other: str) -> bool:
    """Return whether two addresses have the same port and a common interface.

    >>> overlap("127.0.0.1:9464", "[::]:9464"), overlap("[::1]:9464", "127.0.0.1:9464"), overlap("[::]:0", "[::]:0")
    (True, False, False)
    """
    (host, port), (other_host, other_port) = _split(address), _split(other)
    is_same_host = host == other_host or not {host, other_host}.isdisjoint(ALL_INTERFACES)
    return port == other_port != 0 and is_same_host


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
