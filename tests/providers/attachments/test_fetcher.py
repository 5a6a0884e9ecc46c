"""Whom the gateway asks for a file, over real TLS, and what it says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import trustme

from aimanager_server.core.errors import InvalidRequest
from aimanager_server.providers.attachments.fetcher import HttpsFetcher
from tests.support.attachments import FIELD, PNG, SECRET, Names, files, refusal, told
from tests.support.http_servers.raw import Act, http

IMAGE = http(PNG, content_type="image/png")


async def test_a_file_is_fetched() -> None:
    async with files(IMAGE) as world:
        assert await world.fetched() == PNG

    assert world.server.requests[0].startswith(f"GET /a.png?{SECRET} HTTP/1.1\r\n".encode())


async def test_nothing_is_sent_that_says_who_asks() -> None:
    async with files(http(PNG, content_type="image/png", headers=("Set-Cookie: a=b",))) as world:
        fetcher = world.fetcher()
        for _ in range(2):
            await fetcher(world.uri(), "image/png", 1000, FIELD)

    for request in world.server.requests:
        names = {line.partition(b":")[0].lower() for line in request.split(b"\r\n")[1:] if line}
        assert names == {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}
    assert world.server.connections == 2


async def test_a_host_that_is_an_address_is_asked_there() -> None:
    async with files(IMAGE, name="127.0.0.1") as world:
        assert await world.fetched(host="127.0.0.1") == PNG


async def test_a_name_is_resolved_once_and_the_connection_pinned_to_what_was_checked() -> None:
    names = Names((("127.0.0.1",), ("127.0.0.2",)))
    async with files(IMAGE) as world:
        assert await world.fetched(resolve=names) == PNG

    assert names.asked == [("files.test", world.server.port)]


async def test_one_address_of_several_that_is_not_allowed_is_enough_to_refuse() -> None:
    async with files(IMAGE) as world:
        fault = await refusal(world, resolve=Names((("127.0.0.1", "10.0.0.1"),)))

    assert "not on the public internet" in fault.message
    assert world.server.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
    ],
)
async def test_the_networks_behind_the_gateway_are_refused(host: str) -> None:
    with pytest.raises(InvalidRequest, match="not on the public internet") as caught:
        await HttpsFetcher()(f"https://{host}/a.png?{SECRET}", "image/png", 1000, FIELD)

    told(caught.value)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0177.0.0.1", "0x7f000001", "0x7f.0.0.1", "127.1", "127.0.0.1.", "010.8.8.8", "a.0x", "1.2.3.999"],
)
async def test_an_address_in_unusual_writing_is_refused(host: str) -> None:
    names = Names((("8.8.8.8",),))

    with pytest.raises(InvalidRequest, match=r"neither a name nor|can be read") as caught:
        await HttpsFetcher(resolve=names)(f"https://{host}/a.png?{SECRET}", "image/png", 1000, FIELD)

    told(caught.value)
    assert names.asked == []


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "168.63.129.16", "10.0.0.1"])
async def test_a_name_that_means_a_metadata_service_is_refused(address: str) -> None:
    fetcher = HttpsFetcher(resolve=Names(((address,),)))

    with pytest.raises(InvalidRequest, match="not on the public internet"):
        await fetcher("https://metadata.google.internal/", "image/png", 1000, FIELD)


async def without_address(host: str, port: int) -> Sequence[str]:
    raise OSError("unknown")


async def without_any(host: str, port: int) -> Sequence[str]:
    return ()


@pytest.mark.parametrize("resolve", [without_address, without_any])
async def test_a_name_without_address_is_told_as_one_that_is_not_public(resolve: object) -> None:
    async with files(IMAGE) as world:
        assert "not on the public internet" in (await refusal(world, resolve=resolve)).message


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://a.example/", "no https address"),
        ("ftp://a.example/", "no https address"),
        ("file:///etc/passwd", "no https address"),
        ("https://ann@a.example/", "without a user name"),
        ("https://ann:pass@a.example/", "without a user name"),
        ("https://:pass@a.example/", "without a user name"),
        ("https://a.example\\@127.0.0.1/", "can be read"),
        ("https://a.example:8443/", "names the port 8443; accepted is 443"),
        ("https://a.example:22/", "names the port 22; accepted is 443"),
        ("https://a%2eexample/", "neither a name nor"),
        ("https://[fe80::1%25eth0]/", "neither a name nor"),
        ("https://a.example:99999/", "can be read"),
        ("https://[a/", "can be read"),
    ],
)
async def test_an_address_of_another_kind_is_refused(uri: str, why: str) -> None:
    names = Names((("8.8.8.8",),))

    with pytest.raises(InvalidRequest, match=why) as caught:
        await HttpsFetcher(resolve=names)(uri, "image/png", 1000, FIELD)

    told(caught.value)
    assert names.asked == []


@pytest.mark.parametrize("said", [b"", IMAGE[:-10]])
async def test_a_server_that_keeps_silent_is_left(said: bytes) -> None:
    async with files(said, Act.SILENCE) as world:
        fault = await refusal(world, seconds=0.2)
        await asyncio.wait_for(world.server.gone.wait(), 5)

    assert "no whole file within 0.2 seconds" in fault.message


async def test_a_certificate_of_a_stranger_is_not_accepted() -> None:
    async with files(IMAGE, authority=trustme.CA()) as world:
        assert "certificate is not accepted" in (await refusal(world)).message

    assert world.server.requests == []


async def test_a_certificate_for_another_name_is_not_accepted() -> None:
    async with files(IMAGE, name="elsewhere.test") as world:
        assert "certificate is not accepted" in (await refusal(world)).message
