"""Who is trusted over TLS."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from aimanager_server.core.errors import GatewayError, ProviderUnreachable, ProviderUntrusted, StreamInterrupted
from tests.support.chat_completions import connected, events_of
from tests.support.http_servers.bad_tls import alerting_server
from tests.support.http_servers.blackhole import silent_server
from tests.support.http_servers.raw import chunked, raw_server
from tests.support.pool_requests import BEGUN, SAID, TEXT, said_by, streamed, whole


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


@pytest.mark.parametrize(
    ("name", "expiry", "trusted", "why"),
    [
        ("127.0.0.1", None, False, "unable to get local issuer certificate"),
        ("elsewhere.test", None, True, "not valid for '127.0.0.1'"),
        ("127.0.0.1", datetime(2020, 1, 2, tzinfo=UTC), True, "certificate has expired"),
    ],
)
async def test_a_certificate_that_is_not_valid_is_not_trusted_nor_asked_again(
    authority: trustme.CA, tmp_path: Path, name: str, expiry: datetime | None, trusted: bool, why: str
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pool = {"ca_file": tmp_path / "ca.pem"} if trusted else {}
    begin = datetime(2020, 1, 1, tzinfo=UTC) if expiry else None

    tls = serving(authority.issue_cert(name, not_before=begin, not_after=expiry))
    handshakes: list[str | None] = []
    tls.sni_callback = lambda _, asked_for, __: handshakes.append(asked_for)
    async with raw_server((TEXT,), tls=tls) as server, connected(server.url, pool=pool) as provider:
        with pytest.raises(ProviderUntrusted, match=why) as caught:
            await provider(whole())

    assert (server.requests, len(handshakes)) == ([], 1)
    assert not caught.value.spec.retryable


async def test_a_handshake_that_stalls_takes_no_longer_than_a_connection_may() -> None:
    pool = {"connect_timeout": 0.3}
    async with silent_server() as server, connected(f"https://127.0.0.1:{server.port}", pool=pool) as provider:
        with pytest.raises(ProviderUnreachable, match="too long"):
            await asyncio.wait_for(provider(whole()), 5.0)
        await asyncio.wait_for(server.gone.wait(), 5.0)


async def test_an_alert_in_the_middle_of_an_answer_is_a_cut(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls, pool = serving(authority.issue_cert("127.0.0.1")), {"ca_file": tmp_path / "ca.pem"}

    async with (
        alerting_server(tls, chunked(BEGUN, end=False)) as server,
        connected(f"https://127.0.0.1:{server.port}", pool=pool) as provider,
    ):
        reply = await provider(streamed())
        with pytest.raises(StreamInterrupted) as caught:
            await events_of(reply)

    cut = caught.value.__cause__
    assert isinstance(cut, GatewayError)
    assert "ALERT" in str(cut.__cause__)


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
