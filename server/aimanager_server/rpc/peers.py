"""Addresses of peers, as gRPC reports them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import unquote

UNIX = "unix"
IN_PROCESS = "inproc"
"""The peer of calls that a program makes to the server that it embeds."""

CLIENT_PREFIX_LENGTH = 64
"""A client usually has a whole IPv6 network of this size."""


def peer_address(peer: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a peer such as ipv4:127.0.0.1:4711 or ipv6:%5B::1%5D:4711; None for any other kind.

    An IPv4 address that is mapped to IPv6 is returned as IPv4.
    """
    host = unquote(peer.partition(":")[2]).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def is_in_process(peer: str) -> bool:
    """Return whether the caller is the process of the server itself.

    >>> is_in_process("inproc:"), is_in_process("ipv4:127.0.0.1:5")
    (True, False)
    """
    return peer.partition(":")[0] == IN_PROCESS


def is_loopback_peer(peer: str) -> bool:
    """Return whether a peer is on this machine."""
    ip = peer_address(peer)
    return peer.partition(":")[0] in (UNIX, IN_PROCESS) if ip is None else ip.is_loopback


def peer_network(peer: str) -> str:
    """Return what all connections of one client have in common: its IPv4 address or its IPv6 network.

    >>> peer_network("ipv4:192.0.2.1:4711"), peer_network("ipv6:%5B2001:db8::1%5D:4711"), peer_network("unix:")
    ('192.0.2.1', '2001:db8::/64', 'unix')
    """
    ip = peer_address(peer)
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((ip, CLIENT_PREFIX_LENGTH), strict=False))
    return peer.partition(":")[0] if ip is None else str(ip)
