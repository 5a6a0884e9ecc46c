"""Which IP addresses are on the public internet."""

from __future__ import annotations

from aimanager_server.providers.attachments.public_addresses import is_public

PUBLIC = ("93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2001:4860:4860::8888", "2a00:1450::1")
NOT_PUBLIC = {
    "loopback": ("127.0.0.1", "127.8.9.10", "::1"),
    "private": (
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("fc00::1", "fd12:3456::1", "fec0::1", "100.64.0.1", "100.127.255.255"),
    ),
    "link-local": ("169.254.0.1", "fe80::1", "fe80::1%eth0"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "4000::1", "a000::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1"),
    "benchmarking": ("198.18.0.1", "198.19.255.255", "2001:2::1"),
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),
    "cloud metadata": ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
    "protocol assignments": (
        *("192.0.0.192", "192.0.0.9", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.88.99.2", "192.175.48.1"),
        *("2001:1::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1", "2620:4f:8000::1"),
    ),
    "discard and segment routing": ("100::1", "100:0:0:1::1", "5f00::1"),
    "embedded IPv4": (
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8", "::ffff:0:8.8.8.8"),
        *("2002:7f00:1::1", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::7f00:1"),
    ),
    "with a scope": ("2606:2800:21f:cb07:6820:80da:af6b:8b2c%eth0",),
    "not an address": ("", "2130706433", "0177.0.0.1", "0x7f000001", "127.1", "localhost", "1.2.3.4%eth0"),
}


def test_hosts_of_the_internet_are_public() -> None:
    assert [address for address in PUBLIC if not is_public(address)] == []


def test_all_other_addresses_are_not_public() -> None:
    offenders = [
        (kind, address) for kind, addresses in NOT_PUBLIC.items() for address in addresses if is_public(address)
    ]

    assert offenders == []
