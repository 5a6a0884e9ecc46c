"""What a server of files may answer, and what is refused of it."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import PayloadTooLarge
from aimanager_server.providers.attachments.checks import begins_as
from tests.support.attachments import PNG, files, refusal, told
from tests.support.http_servers.raw import Act, Step, chunked, http

IMAGE = http(PNG, content_type="image/png")


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("image/jpeg", b"\xff\xd8\xff\xe0rest"),
        ("image/jpg", b"\xff\xd8\xff\xe0rest"),
        ("image/gif", b"GIF89arest"),
        ("image/webp", b"RIFF\x00\x00\x00\x00WEBPrest"),
        ("application/pdf", b"%PDF-1.7 rest"),
    ],
)
async def test_every_kind_is_fetched(mime_type: str, data: bytes) -> None:
    sent = "image/jpeg" if mime_type == "image/jpg" else f"{mime_type.upper()}; q=1"
    async with files(http(data, content_type=sent)) as world:
        assert await world.fetched(mime_type) == data


@pytest.mark.parametrize("mime_type", ["text/plain", "image/svg+xml", ""])
def test_a_kind_that_is_never_fetched_begins_in_no_way(mime_type: str) -> None:
    assert not begins_as(mime_type, PNG)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    async with files(http(b"", status, headers=("Location: https://10.0.0.1/a.png",))) as world:
        fault = await refusal(world)

    assert "leads on to another address" in fault.message
    assert world.server.connections == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"", "404 Not Found"), "the status 404"),
        (http(PNG, "206 Partial Content", "image/png"), "the status 206"),
        (http(PNG, content_type="text/html"), "the type 'text/html', where 'image/png' was declared"),
        (http(PNG, content_type="image/gif"), "the type 'image/gif', where"),
        (http(PNG, content_type="image/png", headers=("Content-Encoding: gzip",)), "compressed"),
        (http(b"GIF89a", content_type="image/png"), "not of the type 'image/png'"),
        (http(b"", content_type="image/png"), "not of the type 'image/png'"),
        (b"nonsense\r\n\r\n", "not HTTP"),
    ],
)
async def test_an_answer_that_is_not_the_file_is_refused(answer: bytes, why: str) -> None:
    async with files(answer) as world:
        assert why in (await refusal(world)).message


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET])
async def test_a_connection_that_breaks_is_told(act: Act) -> None:
    async with files(IMAGE[:-10], act) as world:
        assert "could not be fetched" in (await refusal(world)).message


async def test_a_file_whose_length_is_too_large_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1001\r\n\r\n"
    async with files(head, Act.SILENCE) as world:
        with pytest.raises(PayloadTooLarge) as caught:
            await world.fetched()

    assert told(caught.value).metadata == {"limit": "1000", "actual": "1001"}


async def test_a_file_that_does_not_say_its_length_is_read_up_to_the_limit() -> None:
    endless: tuple[Step, ...] = (chunked(PNG + b"x" * 1000, content_type="image/png", end=False), Act.SILENCE)
    async with files(*endless) as world:
        with pytest.raises(PayloadTooLarge) as caught:
            await world.fetched()

    assert int(told(caught.value).metadata["actual"]) > 1000


async def test_a_file_of_exactly_the_limit_is_taken() -> None:
    async with files(chunked(PNG[:50], PNG[50:], content_type="image/png")) as world:
        assert await world.fetched(most_bytes=len(PNG)) == PNG
