"""Tells which addresses belong to the public internet, so that no caller reaches what lies behind the gateway."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

CLOUD_ADDRESSES = ip_address("168.63.129.16"), ip_address("100.100.100.200"), ip_address("fd00:ec2::254")
"""Where clouds tell a machine its secrets, beside the link-local 169.254.169.254. The first looks public."""

PROTOCOL_ASSIGNMENTS = ip_network("192.0.0.0/24")
"""Some of these count as global, but none is a host of the public."""

SITE_LOCAL = ip_network("fec0::/10")
"""What private networks used before fc00::/7."""

TUNNELS = ip_network("2002::/16"), ip_network("2001::/32"), ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48")
"""IPv6 that carries an IPv4 address of anybody's choice."""


def is_public(text: str) -> bool:
    """Whether an address, as a resolver gives it, is one of the public internet; what cannot be read is not.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:93.184.215.14"), is_public("0177.0.0.1")
    (True, False, False, False)
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global and not _is_special(address) and not _embeds_another(address)


def _is_special(address: IPv4Address | IPv6Address) -> bool:
    is_special = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )
    return is_special or address in CLOUD_ADDRESSES or address in PROTOCOL_ASSIGNMENTS or address in SITE_LOCAL


def _embeds_another(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return False
    return address.ipv4_mapped is not None or any(address in tunnel for tunnel in TUNNELS)
