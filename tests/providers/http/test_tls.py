"""Which TLS servers are trusted."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from aimanager_server.core.errors import GatewayError, ProviderUnreachable, ProviderUntrusted, StreamInterrupted
from aimanager_server.providers.http.connection import MAX_UNREAD_BYTES
from aimanager_server.providers.http.connector import tls_context
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.chat_completions import collect_events, connected_provider
from tests.support.http_servers.bad_tls import alerting_server
from tests.support.http_servers.blackhole import silent_server
from tests.support.http_servers.raw import chunked_response, http_response, raw_server
from tests.support.http_transport import http_transport
from tests.support.pool_requests import (
    EXPECTED_PARTS,
    FIRST_BYTES,
    TEXT_RESPONSE,
    parts_from,
    streaming_attempt,
    unary_attempt,
)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


async def test_a_certificate_of_a_configured_ca_is_accepted(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = server_context(ca.issue_cert("127.0.0.1"))
    pool = {"ca_file": tmp_path / "ca.pem"}

    async with raw_server((TEXT_RESPONSE,), tls=tls) as server, connected_provider(server.url, pool=pool) as provider:
        assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS


@pytest.mark.parametrize(
    ("name", "expiry", "trusted", "why"),
    [
        ("127.0.0.1", None, False, "unable to get local issuer certificate"),
        ("elsewhere.test", None, True, "not valid for '127.0.0.1'"),
        ("127.0.0.1", datetime(2020, 1, 2, tzinfo=UTC), True, "certificate has expired"),
    ],
)
async def test_an_invalid_certificate_is_untrusted_and_not_retried(
    ca: trustme.CA, tmp_path: Path, name: str, expiry: datetime | None, trusted: bool, why: str
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pool = {"ca_file": tmp_path / "ca.pem"} if trusted else {}
    begin = datetime(2020, 1, 1, tzinfo=UTC) if expiry else None

    tls = server_context(ca.issue_cert(name, not_before=begin, not_after=expiry))
    handshakes: list[str | None] = []
    tls.sni_callback = lambda _, server_name, __: handshakes.append(server_name)
    async with raw_server((TEXT_RESPONSE,), tls=tls) as server, connected_provider(server.url, pool=pool) as provider:
        with pytest.raises(ProviderUntrusted, match=why) as caught:
            await provider(unary_attempt())

    assert (server.requests, len(handshakes)) == ([], 1)
    assert not caught.value.spec.retryable


async def test_a_stalled_handshake_times_out() -> None:
    pool = {"connect_timeout": 0.05}
    async with silent_server() as server, connected_provider(f"https://127.0.0.1:{server.port}", pool=pool) as provider:
        with pytest.raises(ProviderUnreachable, match="timed out"):
            await asyncio.wait_for(provider(unary_attempt()), 5.0)
        await asyncio.wait_for(server.disconnected.wait(), 5.0)


async def test_a_tls_alert_within_a_stream_interrupts_it(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls, pool = server_context(ca.issue_cert("127.0.0.1")), {"ca_file": tmp_path / "ca.pem"}

    async with (
        alerting_server(tls, chunked_response(FIRST_BYTES, end=False)) as server,
        connected_provider(f"https://127.0.0.1:{server.port}", pool=pool) as provider,
    ):
        stream = await provider(streaming_attempt())
        with pytest.raises(StreamInterrupted) as caught:
            await collect_events(stream)

    cause = caught.value.__cause__
    assert isinstance(cause, GatewayError)
    assert "ALERT" in str(cause.__cause__)


async def test_a_broken_handshake_is_unreachable() -> None:
    async def respond_in_plaintext(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(TEXT_RESPONSE)
        writer.close()

    async with await asyncio.start_server(respond_in_plaintext, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connected_provider(f"https://127.0.0.1:{port}") as provider:
            with pytest.raises(ProviderUnreachable, match="handshake"):
                await provider(unary_attempt())


async def test_http_1_1_is_negotiated(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls, negotiated = server_context(ca.issue_cert("127.0.0.1")), list[str | None]()
    tls.set_alpn_protocols(["h2", "http/1.1"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        negotiated.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        async with connected_provider(f"https://127.0.0.1:{port}", pool={"ca_file": tmp_path / "ca.pem"}) as provider:
            with pytest.raises(GatewayError):
                await provider(unary_attempt())

    assert negotiated == ["http/1.1"]


def test_tls_1_2_is_the_oldest_version_and_certificates_are_verified() -> None:
    context = tls_context()

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_a_slow_reader_stops_the_server_over_tls(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    sent, chunk, count = 0, b"x" * 65536, 320

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(chunk) * count))
        for _ in range(count):
            writer.write(chunk)
            await writer.drain()
            sent += 1
        writer.close()

    tls = server_context(ca.issue_cert("127.0.0.1"))
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        transport = http_transport(ca_file=tmp_path / "ca.pem")
        response = await transport.send(HttpRequest("GET", f"https://127.0.0.1:{port}/", {}))
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.02)
        stopped_at, size = sent, 0
        while data := await response.body.read():
            size += len(data)
        await transport.aclose()

    assert stopped_at < count
    assert size == len(chunk) * count


async def test_a_stray_response_after_a_paused_one_is_not_the_answer_to_the_next_request(
    ca: trustme.CA, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    body, connections, stray_sent = b"x" * (MAX_UNREAD_BYTES + 100_000), 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http_response(body) if connections == 1 else http_response(b"ok"))
        await asyncio.sleep(0.05)
        if connections == 1:
            writer.write(http_response(b"stray"))
        stray_sent.set()
        await reader.read()
        writer.close()

    tls = server_context(ca.issue_cert("127.0.0.1"))
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        request = HttpRequest("GET", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
        transport = http_transport(ca_file=tmp_path / "ca.pem")
        response = await transport.send(request)
        await stray_sent.wait()
        await asyncio.sleep(0.05)
        size = 0
        while data := await response.body.read():
            size += len(data)
        # Without giving the event loop a chance to pass on what TLS has already decrypted.
        answer = await (await transport.send(request)).body.read()
        await transport.aclose()

    assert (size, answer, connections) == (len(body), b"ok", 2)
