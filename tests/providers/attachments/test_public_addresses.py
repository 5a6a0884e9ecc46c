"""Which IP addresses are on the public internet."""

from __future__ import annotations

from aimanager_server.providers.attachments.public_addresses import is_public

PUBLIC = ("93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
NOT_PUBLIC = {
    "loopback": ("127.0.0.1", "127.8.9.10", "::1"),
    "private": (
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("fc00::1", "fd12:3456::1", "fec0::1", "100.64.0.1", "100.127.255.255"),
    ),
    "link-local": ("169.254.0.1", "fe80::1", "fe80::1%eth0"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "2001:db8::1"),
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),
    "cloud metadata": ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
    "protocol assignments": ("192.0.0.192", "192.0.0.9"),
    "embedded IPv4": (
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:8.8.8.8", "::127.0.0.1", "2002:7f00:1::1"),
        *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1"),
    ),
    "not an address": ("", "2130706433", "0177.0.0.1", "0x7f000001", "127.1", "localhost"),
}


def test_hosts_of_the_internet_are_public() -> None:
    assert [address for address in PUBLIC if not is_public(address)] == []


def test_all_other_addresses_are_not_public() -> None:
    offenders = [
        (kind, address) for kind, addresses in NOT_PUBLIC.items() for address in addresses if is_public(address)
    ]

    assert offenders == []
