"""Connection errors on real sockets, and their translation."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    GatewayError,
    Overloaded,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderUnreachable,
    ProviderUntrusted,
    StreamInterrupted,
)
from aimanager_server.core.response import Finished
from aimanager_server.providers.http.connection_errors import (
    CertificateError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    ExchangeError,
    InvalidFramingError,
    InvalidRequestError,
    InvalidResponseError,
    InvalidUrlError,
    NameResolutionError,
    PoolClosedError,
    PoolTimeoutError,
    ProxyError,
    ResponseMissingError,
    ResponseTruncatedError,
    TlsHandshakeError,
    from_httpx_error,
    to_httpx_error,
)
from tests.support.chat_completions import collect_events, connected_provider
from tests.support.http_servers.raw import SocketFault, chunked_response, http_response, raw_server
from tests.support.pool_requests import (
    EXPECTED_PARTS,
    FIRST_BYTES,
    STREAM,
    TEXT_RESPONSE,
    parts_from,
    streaming_attempt,
    unary_attempt,
)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ((SocketFault.RESET,), ProviderUnreachable),
        ((SocketFault.CLOSE,), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nContent-", SocketFault.CLOSE), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", SocketFault.RESET), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", SocketFault.CLOSE), ProviderProtocolError),
        ((b"SSH-2.0-OpenSSH_9.6\r\n", SocketFault.CLOSE), ProviderProtocolError),
        ((b"HTTP/1.1 2xx Fine\r\n\r\n", SocketFault.CLOSE), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", SocketFault.CLOSE), ProviderProtocolError),
        ((http_response(b"<html>", content_type="text/html"),), ProviderProtocolError),
        ((http_response(b""),), ProviderProtocolError),
        ((http_response(b"", "204 No Content"),), ProviderProtocolError),
        ((http_response(b"{}", headers=("Content-Encoding: gzip",)),), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", SocketFault.CLOSE), ProviderProtocolError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_errors_before_the_first_content_keep_their_cause(
    response: tuple[bytes | SocketFault, ...], kind: type[GatewayError], streaming: bool
) -> None:
    async with raw_server(response) as server, connected_provider(server.url) as provider:
        with pytest.raises(kind) as caught:
            await provider(streaming_attempt() if streaming else unary_attempt())

    assert caught.value.provider == "upstream"
    assert server.connections == 1


@pytest.mark.parametrize("end", [SocketFault.CLOSE, SocketFault.RESET])
async def test_a_stream_truncated_after_the_first_content_is_interrupted(end: SocketFault) -> None:
    async with (
        raw_server((chunked_response(FIRST_BYTES, end=False), end)) as server,
        connected_provider(server.url) as provider,
    ):
        stream = await provider(streaming_attempt())
        with pytest.raises(StreamInterrupted):
            await collect_events(stream)


async def test_a_complete_response_with_truncated_framing_is_accepted() -> None:
    async with (
        raw_server((chunked_response(STREAM, end=False), SocketFault.CLOSE)) as server,
        connected_provider(server.url) as provider,
    ):
        events = await collect_events(await provider(streaming_attempt()))

    assert isinstance(events[-1], Finished)


async def test_an_error_response_counts_even_if_its_body_is_truncated() -> None:
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\n"

    async with raw_server((head + b"slow", SocketFault.CLOSE)) as server, connected_provider(server.url) as provider:
        with pytest.raises(ProviderRateLimited) as caught:
            await provider(unary_attempt())

    assert caught.value.retry_after == 7.0


async def test_an_unresponsive_server_is_abandoned_at_the_deadline() -> None:
    async with raw_server((SocketFault.STALL,)) as server, connected_provider(server.url) as provider:
        with pytest.raises(DeadlineExceeded):
            await provider(unary_attempt(0.3))
        await asyncio.wait_for(server.disconnected.wait(), 5.0)

    assert server.connections == 1


async def test_a_stale_pooled_connection_is_replaced_once() -> None:
    async with (
        raw_server((TEXT_RESPONSE,), (SocketFault.CLOSE,), (TEXT_RESPONSE,)) as server,
        connected_provider(server.url) as provider,
    ):
        for _ in range(2):
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS

    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("end", [SocketFault.CLOSE, SocketFault.RESET])
async def test_a_broken_new_connection_is_not_retried(end: SocketFault) -> None:
    async with raw_server((TEXT_RESPONSE,), (end,)) as server, connected_provider(server.url) as provider:
        await provider(unary_attempt())
        with pytest.raises(ProviderUnreachable if end is SocketFault.RESET else ProviderProtocolError):
            await provider(unary_attempt())

    assert (len(server.requests), server.connections) == (3, 2)


async def test_two_stale_connections_in_a_row_are_an_error() -> None:
    async with (
        raw_server((TEXT_RESPONSE,), (TEXT_RESPONSE,), (SocketFault.CLOSE,)) as server,
        connected_provider(server.url) as provider,
    ):
        await asyncio.gather(provider(unary_attempt()), provider(unary_attempt()))
        with pytest.raises(ProviderProtocolError):
            await provider(unary_attempt())

    assert len(server.requests) == 4


async def test_a_refused_connection_is_unreachable() -> None:
    async with raw_server((TEXT_RESPONSE,)) as server:
        url = server.url

    async with connected_provider(url) as provider:
        with pytest.raises(ProviderUnreachable):
            await provider(unary_attempt())


async def test_an_api_key_with_a_line_break_is_an_error() -> None:
    async with connected_provider("http://127.0.0.1:1", "a\r\nX-Evil: 1") as provider:
        with pytest.raises(GatewayError):
            await provider(unary_attempt())


REQUEST = httpx.Request("GET", "https://upstream.test/")


@pytest.mark.parametrize(
    ("error", "kind", "httpx_kind"),
    [
        (NameResolutionError(), ProviderUnreachable, httpx.ConnectError),
        (ConnectError(), ProviderUnreachable, httpx.ConnectError),
        (ConnectTimeoutError(), ProviderUnreachable, httpx.ConnectTimeout),
        (ProxyError(), ProviderUnreachable, httpx.ProxyError),
        (TlsHandshakeError(), ProviderUnreachable, httpx.ConnectError),
        (CertificateError(OSError("x")), ProviderUntrusted, httpx.ConnectError),
        (PoolTimeoutError(1, 2.0), Overloaded, httpx.PoolTimeout),
        (PoolClosedError(), ProviderUnreachable, httpx.ConnectError),
        (ConnectionLostError(), ProviderUnreachable, httpx.ReadError),
        (ResponseMissingError(), ProviderProtocolError, httpx.RemoteProtocolError),
        (ResponseTruncatedError(), ProviderProtocolError, httpx.RemoteProtocolError),
        (InvalidFramingError(), ProviderProtocolError, httpx.RemoteProtocolError),
        (InvalidResponseError(), ProviderProtocolError, httpx.RemoteProtocolError),
        (InvalidUrlError(), ProviderUnreachable, httpx.UnsupportedProtocol),
        (InvalidRequestError(), ProviderProtocolError, httpx.LocalProtocolError),
    ],
)
def test_every_fault_is_translated_to_both_kinds_of_error(
    error: ExchangeError, kind: type[GatewayError], httpx_kind: type[httpx.TransportError]
) -> None:
    translated, as_httpx = error.gateway_error("upstream"), to_httpx_error(error, REQUEST)
    as_httpx.__cause__ = error
    back = from_httpx_error(as_httpx, "upstream")

    assert (type(translated), translated.provider, type(as_httpx)) == (kind, "upstream", httpx_kind)
    assert (type(back), back.message) == (kind, translated.message)


def test_every_fault_has_its_own_message() -> None:
    faults = [fault for fault in ExchangeError.__subclasses__() if fault not in (CertificateError, PoolTimeoutError)]

    assert len({fault.message for fault in faults}) == len(faults)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ReadTimeout("x"), ProviderUnreachable),
        (httpx.ConnectError("x"), ProviderUnreachable),
        (httpx.RemoteProtocolError("x"), ProviderProtocolError),
        (httpx.UnsupportedProtocol("x"), ProviderProtocolError),
    ],
)
def test_exceptions_of_other_httpx_transports_are_translated_by_type(
    error: httpx.TransportError, kind: type[GatewayError]
) -> None:
    assert type(from_httpx_error(error)) is kind


def test_a_certificate_error_states_the_reason() -> None:
    cause = ssl.SSLCertVerificationError("x")
    cause.verify_message = "certificate has expired"

    assert "certificate has expired" in CertificateError(cause).gateway_error("upstream").message
