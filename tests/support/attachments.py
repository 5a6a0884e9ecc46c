"""A server of files over TLS, and fetchers that are let in to it."""

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
class Names:
    """Resolves every name to each of these in turn, the last one for ever."""

    answers: Sequence[tuple[str, ...]] = (("127.0.0.1",),)
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@dataclass(frozen=True)
class FileWorld:
    """A server, and who its certificate is trusted by."""

    server: RawServer
    trusting: ssl.SSLContext

    def uri(self, path: str = "a.png", host: str = HOST) -> str:
        return f"https://{host}:{self.server.port}/{path}?{SECRET}"

    def fetcher(self, **options: Any) -> HttpsFetcher:
        options = {"resolve": Names(), "is_allowed": lambda address: address == "127.0.0.1", **options}
        return HttpsFetcher(tls=self.trusting, ports=frozenset({self.server.port}), **options)

    async def fetched(
        self, mime_type: str = "image/png", most_bytes: int = 1000, *, host: str = HOST, **options: Any
    ) -> bytes:
        return await self.fetcher(**options)(self.uri(host=host), mime_type, most_bytes, FIELD)


@asynccontextmanager
async def files(*answer: Step, authority: trustme.CA | None = None, name: str = HOST) -> AsyncIterator[FileWorld]:
    """One answer for every request. Without an authority, one is made that is trusted."""
    trusted = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (authority or trusted).issue_cert(name).configure_cert(serving)
    trusting = ssl.create_default_context()
    trusted.configure_trust(trusting)
    async with raw_server(answer, tls=serving) as server:
        yield FileWorld(server, trusting)


async def refusal(world: FileWorld, mime_type: str = "image/png", **options: Any) -> GatewayError:
    """The fault of a file that is not fetched."""
    with pytest.raises(InvalidRequest) as caught:
        await world.fetched(mime_type, **options)
    return told(caught.value)


def told(fault: GatewayError) -> GatewayError:
    """The same fault, once it is seen to name the field and to hide the address."""
    assert [violation.field for violation in fault.violations] == [FIELD]
    assert fault.message.startswith(FIELD)
    assert fault.solution
    for text in (fault.message, fault.solution, fault.violations[0].description):
        assert SECRET not in text
        assert "files.test" not in text
        assert "127.0.0.1" not in text
    return fault
