"""Which responses of a file server are accepted, and which are rejected."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import PayloadTooLarge
from aimanager_server.providers.attachments.checks import has_magic_bytes
from tests.support.attachments import PNG, check_disclosure, fetch_error, file_server
from tests.support.http_servers.raw import SocketFault, Step, chunked_response, http_response

IMAGE = http_response(PNG, content_type="image/png")


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
async def test_every_supported_type_is_fetched(mime_type: str, data: bytes) -> None:
    sent = "image/jpeg" if mime_type == "image/jpg" else f"{mime_type.upper()}; q=1"
    async with file_server(http_response(data, content_type=sent)) as files:
        assert await files.fetch(mime_type) == data


@pytest.mark.parametrize("mime_type", ["text/plain", "image/svg+xml", ""])
def test_unsupported_types_have_no_signature(mime_type: str) -> None:
    assert not has_magic_bytes(mime_type, PNG)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_redirects_are_not_followed(status: str) -> None:
    async with file_server(http_response(b"", status, headers=("Location: https://10.0.0.1/a.png",))) as files:
        error = await fetch_error(files)

    assert "must not redirect" in error.message
    assert files.server.connections == 1


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (http_response(b"", "404 Not Found"), "status 200, got 404"),
        (http_response(PNG, "206 Partial Content", "image/png"), "status 200, got 206"),
        (http_response(PNG, content_type="text/html"), "Content-Type 'image/png', got 'text/html'"),
        (http_response(PNG, content_type="image/gif"), "Content-Type 'image/png', got 'image/gif'"),
        (http_response(PNG, content_type="image/png", headers=("Content-Encoding: gzip",)), "without compression"),
        (http_response(b"GIF89a", content_type="image/png"), "declared type 'image/png'; its first bytes"),
        (http_response(b"", content_type="image/png"), "declared type 'image/png'; its first bytes"),
        (b"nonsense\r\n\r\n", "not valid HTTP"),
    ],
)
async def test_responses_other_than_the_declared_file_are_rejected(response: bytes, reason: str) -> None:
    async with file_server(response) as files:
        assert reason in (await fetch_error(files)).message


@pytest.mark.parametrize("act", [SocketFault.CLOSE, SocketFault.RESET])
async def test_a_broken_connection_is_reported(act: SocketFault) -> None:
    async with file_server(IMAGE[:-10], act) as files:
        assert "could not be fetched" in (await fetch_error(files)).message


async def test_a_file_with_an_oversized_content_length_is_not_read() -> None:
    headers = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1001\r\n\r\n"
    async with file_server(headers, SocketFault.STALL) as files:
        with pytest.raises(PayloadTooLarge) as caught:
            await files.fetch()

    assert check_disclosure(caught.value).metadata == {"limit": "1000", "actual": "1001"}


async def test_a_file_without_content_length_is_read_up_to_the_limit() -> None:
    endless: tuple[Step, ...] = (
        chunked_response(PNG + b"x" * 1000, content_type="image/png", end=False),
        SocketFault.STALL,
    )
    async with file_server(*endless) as files:
        with pytest.raises(PayloadTooLarge) as caught:
            await files.fetch()

    assert int(check_disclosure(caught.value).metadata["actual"]) > 1000


async def test_a_file_of_exactly_the_limit_is_accepted() -> None:
    async with file_server(chunked_response(PNG[:50], PNG[50:], content_type="image/png")) as files:
        assert await files.fetch(max_bytes=len(PNG)) == PNG
