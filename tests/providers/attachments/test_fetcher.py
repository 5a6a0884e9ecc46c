"""Which hosts the fetcher connects to, over real TLS, and what it sends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

import pytest
import trustme

from aimanager_server.core.errors import InvalidRequest
from aimanager_server.providers.attachments.fetcher import HttpsFetcher
from aimanager_server.providers.attachments.host_lookup import HostLookup
from tests.support.attachments import FIELD, PNG, SECRET, FakeResolver, check_disclosure, fetch_error, file_server
from tests.support.http_servers.raw import SocketFault, http_response

IMAGE = http_response(PNG, content_type="image/png")


async def test_a_file_is_fetched() -> None:
    async with file_server(IMAGE) as files:
        assert await files.fetch() == PNG

    assert files.server.requests[0].startswith(f"GET /a.png?{SECRET} HTTP/1.1\r\n".encode())


async def test_requests_contain_no_identifying_headers() -> None:
    async with file_server(http_response(PNG, content_type="image/png", headers=("Set-Cookie: a=b",))) as files:
        fetcher = files.fetcher()
        for _ in range(2):
            await fetcher(files.url(), "image/png", 1000, FIELD, "ann")

    for request in files.server.requests:
        header_names = {line.partition(b":")[0].lower() for line in request.split(b"\r\n")[1:] if line}
        assert header_names == {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}
    assert files.server.connections == 2


async def test_an_ip_address_as_host_is_fetched() -> None:
    async with file_server(IMAGE, name="127.0.0.1") as files:
        assert await files.fetch(host="127.0.0.1") == PNG


async def test_a_host_is_resolved_once_and_the_connection_pinned() -> None:
    resolver = FakeResolver((("127.0.0.1",), ("127.0.0.2",)))
    async with file_server(IMAGE) as files:
        assert await files.fetch(resolve=resolver) == PNG

    assert resolver.lookups == [("files.test", files.server.port)]


async def test_one_disallowed_address_is_enough_to_reject() -> None:
    async with file_server(IMAGE) as files:
        error = await fetch_error(files, resolve=FakeResolver((("127.0.0.1", "10.0.0.1"),)))

    assert "must have a host on the public internet" in error.message
    assert files.server.connections == 0


PRIVATE_HOSTS = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
    *("0.0.0.0", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost"),
)
NONSTANDARD_HOSTS = (
    *("2130706433", "0177.0.0.1", "0x7f000001", "0x7f.0.0.1", "127.1", "127.0.0.1.", "010.8.8.8", "a.0x", "1.2.3.999"),
)


async def accepted_urls(fetcher: HttpsFetcher, reasons: Mapping[str, str]) -> list[str]:
    """Return the URLs that the fetcher does not reject with the expected reason, a regular expression."""
    accepted = []
    for url, reason in reasons.items():
        try:
            await fetcher(url, "image/png", 1000, FIELD, "ann")
        except InvalidRequest as error:
            if re.search(reason, check_disclosure(error).message):
                continue
        accepted.append(url)
    return accepted


async def test_addresses_of_private_networks_are_rejected() -> None:
    urls = [f"https://{host}/a.png?{SECRET}" for host in PRIVATE_HOSTS]

    accepted = await accepted_urls(
        HttpsFetcher(HostLookup()), dict.fromkeys(urls, "must have a host on the public internet")
    )

    assert accepted == []


async def test_ip_addresses_in_nonstandard_notation_are_rejected() -> None:
    resolver = FakeResolver((("8.8.8.8",),))
    urls = [f"https://{host}/a.png?{SECRET}" for host in NONSTANDARD_HOSTS]

    accepted = await accepted_urls(
        HttpsFetcher(resolve=resolver), dict.fromkeys(urls, "standard notation|must be a valid URL")
    )

    assert accepted == []
    assert resolver.lookups == []


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "10.0.0.1"])
async def test_names_of_metadata_services_are_rejected(address: str) -> None:
    fetcher = HttpsFetcher(resolve=FakeResolver(((address,),)))

    with pytest.raises(InvalidRequest, match="must have a host on the public internet"):
        await fetcher("https://metadata.google.internal/", "image/png", 1000, FIELD, "ann")


async def failing_resolver(host: str, port: int, caller: str) -> Sequence[str]:
    raise OSError("unknown")


async def empty_resolver(host: str, port: int, caller: str) -> Sequence[str]:
    return ()


@pytest.mark.parametrize("resolve", [failing_resolver, empty_resolver])
async def test_an_unknown_name_is_reported_as_not_public(resolve: object) -> None:
    async with file_server(IMAGE) as files:
        assert "must have a host on the public internet" in (await fetch_error(files, resolve=resolve)).message


async def test_other_urls_are_rejected() -> None:
    resolver = FakeResolver((("8.8.8.8",),))
    reasons = {
        "http://a.example/": "must be an https URL",
        "ftp://a.example/": "must be an https URL",
        "file:///etc/passwd": "must be an https URL",
        "https://ann@a.example/": "without user name",
        "https://ann:pass@a.example/": "without user name",
        "https://:pass@a.example/": "without user name",
        "https://a.example\\@127.0.0.1/": "must be a valid URL",
        "https://a.example:8443/": "must use port 443, got 8443",
        "https://a.example:22/": "must use port 443, got 22",
        "https://a%2eexample/": "standard notation",
        "https://[fe80::1%25eth0]/": "standard notation",
        "https://a.example:99999/": "must be a valid URL",
        "https://[a/": "must be a valid URL",
    }

    accepted = await accepted_urls(HttpsFetcher(resolve=resolver), reasons)

    assert accepted == []
    assert resolver.lookups == []


@pytest.mark.parametrize("response", [b"", IMAGE[:-10]])
async def test_an_unresponsive_server_times_out(response: bytes) -> None:
    async with file_server(response, SocketFault.STALL) as files:
        error = await fetch_error(files, timeout=0.2)
        await asyncio.wait_for(files.server.disconnected.wait(), 5)

    assert "whole file within 0.2 s" in error.message


async def test_a_certificate_of_an_unknown_ca_is_rejected() -> None:
    async with file_server(IMAGE, authority=trustme.CA()) as files:
        assert "valid TLS certificate" in (await fetch_error(files)).message

    assert files.server.requests == []


async def test_a_certificate_for_another_host_is_rejected() -> None:
    async with file_server(IMAGE, name="elsewhere.test") as files:
        assert "valid TLS certificate" in (await fetch_error(files)).message
