"""Addresses of gRPC peers."""

from __future__ import annotations

from aimanager_server.rpc.peers import is_loopback_peer, peer_network


def test_loopback_peers_are_recognized() -> None:
    peers = {
        "ipv4:127.0.0.1:50000": True,
        "ipv4:10.0.0.1:50000": False,
        "ipv6:%5B::1%5D:50000": True,
        "ipv6:[::ffff:127.0.0.1]:50000": True,
        "ipv6:[::ffff:10.0.0.1]:50000": False,
        "ipv6:[fe80::1%25eth0]:50000": False,
        "unix:/run/socket": True,
        "nonsense": False,
    }

    assert {peer: is_loopback_peer(peer) for peer in peers} == peers


def test_the_connections_of_one_client_have_the_same_network() -> None:
    networks = {
        "ipv4:10.0.0.1:50000": "10.0.0.1",
        "ipv4:10.0.0.1:50001": "10.0.0.1",
        "ipv6:%5B2001:db8:1:2:3::4%5D:1": "2001:db8:1:2::/64",
        "ipv6:%5B2001:db8:1:2:ffff::5%5D:2": "2001:db8:1:2::/64",
        "ipv6:%5B2001:db8:1:3::4%5D:1": "2001:db8:1:3::/64",
        "ipv6:[::ffff:10.0.0.1]:50000": "10.0.0.1",
        "ipv6:[fe80::1%25eth0]:50000": "fe80::/64",
        "unix:/run/socket": "unix",
        "nonsense": "nonsense",
        "": "",
    }

    assert {peer: peer_network(peer) for peer in networks} == networks
