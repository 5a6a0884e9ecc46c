"""Decide whether an IP address is on the public internet, so that callers cannot reach the gateway's own network.

Python's `is_global` is not used: its tables depend on the version, and it counts addresses of tunnels and relays, which
lead elsewhere, as global.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# https://www.iana.org/assignments/iana-ipv4-special-registry, read 2026-11-22, and the multicast range. Globally
# reachable entries are included, since none of them is a web server: they are anycast addresses of protocols.
SPECIAL_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers, and the metadata service 100.100.100.200
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, and the metadata service 169.254.169.254
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # relays of 6to4, deprecated
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and the broadcast address
            "168.63.129.16/32",  # the metadata service of Azure, in a public range
        ),
    )
)

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only range of IPv6 from which addresses of hosts are assigned.

Outside are ::/96 and ::ffff:0:0/96 (embedded IPv4), 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64), 100::/64 (discard),
5f00::/16 (segment routing), fc00::/7 and fec0::/10 (private, with the metadata service fd00:ec2::254), fe80::/10
(link-local) and ff00::/8 (multicast).
"""

# https://www.iana.org/assignments/iana-ipv6-special-registry, read 2026-11-22: the entries within GLOBAL_UNICAST.
SPECIAL_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, with Teredo, benchmarking, AMT, AS112, ORCHID and drone ids
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which embeds an IPv4 address
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(text: str) -> bool:
    """Return whether an address in a resolver's notation is on the public internet; False if it is not an address.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:93.184.215.14"), is_public("0177.0.0.1")
    (True, False, False, False)
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_IPV4)
    return _is_public_ipv6(address)


def _is_public_ipv6(address: IPv6Address) -> bool:
    # A scope makes sense only for an address of a local network.
    is_global = address in GLOBAL_UNICAST and address.scope_id is None
    return is_global and not any(address in network for network in SPECIAL_IPV6)
