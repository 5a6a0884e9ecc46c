"""A file server over TLS, and fetchers that are allowed to reach it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from aimanager_server.core.errors import GatewayError, InvalidRequest
from aimanager_server.providers.attachments.fetcher import HttpsFetcher
from tests.support.http_servers.raw import RawServer, Step, raw_server

HOST = "files.test"
FIELD = "messages[0].parts[1].attachment.uri"
SECRET = "signature=canary-7Hq2mZ81xW"
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


@dataclass
class FakeResolver:
    """Resolve every host to the next of `answers`; the last one repeats."""

    answers: Sequence[tuple[str, ...]] = (("127.0.0.1",),)
    lookups: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, host: str, port: int, caller: str) -> Sequence[str]:
        self.lookups.append((host, port))
        return self.answers[min(len(self.lookups), len(self.answers)) - 1]


@dataclass(frozen=True)
class FileServer:
    """A file server, and a TLS context that trusts its certificate."""

    server: RawServer
    client_tls: ssl.SSLContext

    def url(self, path: str = "a.png", host: str = HOST) -> str:
        return f"https://{host}:{self.server.port}/{path}?{SECRET}"

    def fetcher(self, **options: Any) -> HttpsFetcher:
        options = {"resolve": FakeResolver(), "is_allowed": lambda address: address == "127.0.0.1", **options}
        return HttpsFetcher(tls=self.client_tls, allowed_ports=frozenset({self.server.port}), **options)

    async def fetch(
        self, mime_type: str = "image/png", max_bytes: int = 1000, *, host: str = HOST, **options: Any
    ) -> bytes:
        return await self.fetcher(**options)(self.url(host=host), mime_type, max_bytes, FIELD, "ann")


@asynccontextmanager
async def file_server(
    *response: Step, authority: trustme.CA | None = None, name: str = HOST
) -> AsyncIterator[FileServer]:
    """Serve one response to every request. By default, the certificate is signed by a trusted authority."""
    trusted = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (authority or trusted).issue_cert(name).configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    trusted.configure_trust(client_tls)
    async with raw_server(response, tls=server_tls) as server:
        yield FileServer(server, client_tls)


async def fetch_error(files: FileServer, mime_type: str = "image/png", **options: Any) -> GatewayError:
    """Return the error of a rejected file."""
    with pytest.raises(InvalidRequest) as caught:
        await files.fetch(mime_type, **options)
    return check_disclosure(caught.value)


def check_disclosure(error: GatewayError) -> GatewayError:
    """Return the error, after checking that it names the field and does not disclose the URL."""
    assert [violation.field for violation in error.violations] == [FIELD]
    assert error.message.startswith(FIELD)
    assert error.solution
    for text in (error.message, error.solution, error.violations[0].description):
        assert SECRET not in text
        assert "files.test" not in text
        assert "127.0.0.1" not in text
    return error
