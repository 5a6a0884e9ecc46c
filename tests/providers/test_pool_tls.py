"""Who is trusted over TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from aimanager_server.errors import (
    ProviderUnreachable,
    ProviderUntrusted,
)
from chat_world import connected
from pool_questions import SAID, TEXT, said_by, whole
from raw_server import raw_server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


async def test_a_certificate_of_a_known_authority_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = serving(authority.issue_cert("127.0.0.1"))
    pool = {"ca_file": tmp_path / "ca.pem"}

    async with raw_server((TEXT,), tls=tls) as server, connected(server.url, pool=pool) as provider:
        assert await said_by(await provider(whole())) == SAID


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.test"])
async def test_a_certificate_that_is_not_valid_is_not_trusted(authority: trustme.CA, tmp_path: Path, name: str) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pool = {"ca_file": tmp_path / "ca.pem"} if name != "127.0.0.1" else {}

    tls = serving(authority.issue_cert(name))
    async with raw_server((TEXT,), tls=tls) as server, connected(server.url, pool=pool) as provider:
        with pytest.raises(ProviderUntrusted):
            await provider(whole())

    assert server.requests == []


async def test_a_broken_handshake_is_no_question_of_trust() -> None:
    async def answer_in_the_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(TEXT)
        writer.close()

    async with await asyncio.start_server(answer_in_the_open, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connected(f"https://127.0.0.1:{port}") as provider:
            with pytest.raises(ProviderUnreachable, match="handshake"):
                await provider(whole())
