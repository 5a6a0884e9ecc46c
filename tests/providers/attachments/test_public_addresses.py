"""Which addresses a caller may have the gateway ask."""

from __future__ import annotations

import pytest

from aimanager_server.providers.attachments.public_addresses import is_public


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_a_host_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "fc00::1",
        "fd12:3456::1",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "100.64.0.1",
        "100.127.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "ff02::1",
        "ff0e::1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "2001:db8::1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
    ],
)
def test_a_host_of_some_network_alone_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.0.9"],
)
def test_where_clouds_tell_secrets_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
    ],
)
def test_ipv4_inside_ipv6_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "2130706433", "0177.0.0.1", "0x7f000001", "127.1", "localhost"])
def test_what_is_no_address_is_not(text: str) -> None:
    assert not is_public(text)
