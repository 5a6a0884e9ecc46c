"""Decide whether an IP address is on the public internet, so that callers cannot reach the gateway's own network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

CLOUD_METADATA_ADDRESSES = ip_address("168.63.129.16"), ip_address("100.100.100.200"), ip_address("fd00:ec2::254")
"""Metadata services of clouds besides the link-local 169.254.169.254. The first is in a public range."""

PROTOCOL_ASSIGNMENTS = ip_network("192.0.0.0/24")
"""Reserved for protocols. Python counts some of these addresses as global."""

SITE_LOCAL = ip_network("fec0::/10")
"""The private range of IPv6 before fc00::/7."""

IPV4_TUNNELS = (
    ip_network("2002::/16"),
    ip_network("2001::/32"),
    ip_network("64:ff9b::/96"),
    ip_network("64:ff9b:1::/48"),
)
"""IPv6 ranges that embed an arbitrary IPv4 address: 6to4, Teredo and NAT64."""


def is_public(text: str) -> bool:
    """Return whether an address in a resolver's notation is on the public internet; False if it is not an address.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:93.184.215.14"), is_public("0177.0.0.1")
    (True, False, False, False)
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global and not _is_special(address) and not _embeds_ipv4(address)


def _is_special(address: IPv4Address | IPv6Address) -> bool:
    is_special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    return is_special or address in CLOUD_METADATA_ADDRESSES or address in PROTOCOL_ASSIGNMENTS or address in SITE_LOCAL


def _embeds_ipv4(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return False
    return address.ipv4_mapped is not None or any(address in tunnel for tunnel in IPV4_TUNNELS)
