"""The connection pool against servers that misbehave on real sockets."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from aimanager_server.core.errors import (
    DeadlineExceeded,
    GatewayError,
    ProviderProtocolError,
    ProviderUnreachable,
    StreamInterrupted,
)
from aimanager_server.core.response import Finished
from aimanager_server.providers.http.connection_errors import fault_for
from tests.support.chat_completions import connected, events_of
from tests.support.http_servers.raw import Act, chunked, http, raw_server
from tests.support.pool_requests import BEGUN, SAID, STREAM, TEXT, said_by, streamed, whole


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((Act.RESET,), ProviderUnreachable),
        ((Act.CLOSE,), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nContent-", Act.CLOSE), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Act.RESET), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Act.CLOSE), ProviderProtocolError),
        ((b"SSH-2.0-OpenSSH_9.6\r\n", Act.CLOSE), ProviderProtocolError),
        ((b"HTTP/1.1 2xx Fine\r\n\r\n", Act.CLOSE), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Act.CLOSE), ProviderProtocolError),
        ((http(b"<html>", content_type="text/html"),), ProviderProtocolError),
        ((http(b""),), ProviderProtocolError),
        ((http(b"", "204 No Content"),), ProviderProtocolError),
        ((http(b"{}", headers=("Content-Encoding: gzip",)),), ProviderProtocolError),
        ((b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", Act.CLOSE), ProviderProtocolError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_what_breaks_before_the_first_content_keeps_its_cause(
    answer: tuple[bytes | Act, ...], kind: type[GatewayError], streaming: bool
) -> None:
    async with raw_server(answer) as server, connected(server.url) as provider:
        with pytest.raises(kind) as caught:
            await provider(streamed() if streaming else whole())

    assert caught.value.provider == "upstream"
    assert server.connections == 1


@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_stream_cut_after_its_first_content_is_interrupted(end: Act) -> None:
    async with raw_server((chunked(BEGUN, end=False), end)) as server, connected(server.url) as provider:
        reply = await provider(streamed())
        with pytest.raises(StreamInterrupted):
            await events_of(reply)


async def test_an_answer_that_is_complete_counts_though_its_framing_was_cut() -> None:
    async with raw_server((chunked(STREAM, end=False), Act.CLOSE)) as server, connected(server.url) as provider:
        events = await events_of(await provider(streamed()))

    assert isinstance(events[-1], Finished)


async def test_silence_lasts_until_the_deadline_and_no_longer() -> None:
    async with raw_server((Act.SILENCE,)) as server, connected(server.url) as provider:
        with pytest.raises(DeadlineExceeded):
            await provider(whole(0.5))
        await asyncio.wait_for(server.gone.wait(), 5.0)

    assert server.connections == 1


async def test_a_pooled_connection_that_went_stale_is_replaced_once() -> None:
    async with raw_server((TEXT,), (Act.CLOSE,), (TEXT,)) as server, connected(server.url) as provider:
        for _ in range(2):
            assert await said_by(await provider(whole())) == SAID

    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("end", [Act.CLOSE, Act.RESET])
async def test_a_new_connection_that_breaks_is_not_tried_again(end: Act) -> None:
    async with raw_server((TEXT,), (end,)) as server, connected(server.url) as provider:
        await provider(whole())
        with pytest.raises(ProviderUnreachable if end is Act.RESET else ProviderProtocolError):
            await provider(whole())

    assert (len(server.requests), server.connections) == (3, 2)


async def test_two_stale_connections_in_a_row_are_a_fault() -> None:
    async with raw_server((TEXT,), (TEXT,), (Act.CLOSE,)) as server, connected(server.url) as provider:
        await asyncio.gather(provider(whole()), provider(whole()))
        with pytest.raises(ProviderProtocolError):
            await provider(whole())

    assert len(server.requests) == 4


async def test_a_refused_connection_is_told() -> None:
    async with raw_server((TEXT,)) as server:
        url = server.url

    async with connected(url) as provider:
        with pytest.raises(ProviderUnreachable):
            await provider(whole())


async def test_a_key_that_a_library_refuses_to_send_is_a_fault() -> None:
    async with connected("http://127.0.0.1:1", "a\r\nX-Evil: 1") as provider:
        with pytest.raises(GatewayError):
            await provider(whole())


NOWHERE = ConnectionKey("provider.invalid", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ClientConnectorDNSError(NOWHERE, OSError("x")), ProviderUnreachable),
        (aiohttp.ClientProxyConnectionError(NOWHERE, OSError("x")), ProviderUnreachable),
        (aiohttp.InvalidURL("x"), ProviderUnreachable),
        (aiohttp.ConnectionTimeoutError("x"), ProviderUnreachable),
        (ssl.SSLError("x"), ProviderUnreachable),
        (OSError("x"), ProviderUnreachable),
        (aiohttp.ClientError("x"), ProviderProtocolError),
    ],
)
def test_every_other_fault_has_its_meaning(error: Exception, kind: type[GatewayError]) -> None:
    fault = fault_for(error, "upstream")

    assert (type(fault), fault.provider) == (kind, "upstream")
