"""Connections are reused, limited in number, and closed immediately on cancellation."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core.errors import Overloaded
from aimanager_server.providers.factory import model_lister_for, open_provider
from tests.support.chat_completions import LIMITS, collect_events, connected_provider, provider_settings, recorded
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

STRAY = http_response(recorded("openai/text.json").replace(b"aus Rom", b"an alle"))


async def test_a_unary_response_over_a_socket() -> None:
    async with raw_server((TEXT_RESPONSE,)) as server, connected_provider(server.url) as provider:
        assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS

    head = server.requests[0].split(b"\r\n\r\n")[0].decode().lower()
    assert "post /chat/completions http/1.1" in head
    assert head.count("\r\nhost:") == head.count("\r\naccept:") == head.count("\r\ncontent-length:") == 1
    assert "cookie" not in head


async def test_connections_are_reused_after_unary_and_streamed_responses() -> None:
    late = chunked_response(STREAM, end=False)
    responses = ((TEXT_RESPONSE,), (chunked_response(STREAM),), (late, b"0\r\n\r\n"), (TEXT_RESPONSE,))
    async with raw_server(*responses) as server, connected_provider(server.url) as provider:
        for call in (unary_attempt(), streaming_attempt(), streaming_attempt(), unary_attempt()):
            await parts_from(await provider(call))

    assert (len(server.requests), server.connections) == (4, 1)


async def test_cookies_are_not_stored() -> None:
    response = http_response(recorded("openai/text.json"), headers=("Set-Cookie: session=1",))
    async with raw_server((response,)) as server, connected_provider(server.url) as provider:
        for _ in range(2):
            await provider(unary_attempt())

    assert b"session=1" not in server.requests[1]


@pytest.mark.parametrize("has_content", [False, True])
async def test_cancelling_closes_the_socket_immediately(has_content: bool) -> None:
    content = (chunked_response(FIRST_BYTES, end=False),) if has_content else ()

    async with raw_server((*content, SocketFault.STALL)) as server, connected_provider(server.url) as provider:

        async def read() -> None:
            await collect_events(await provider(streaming_attempt()))

        task = asyncio.create_task(read())
        await server.request_received.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait_for(server.disconnected.wait(), 5.0)

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_an_unread_stream_closes_its_socket() -> None:
    async with (
        raw_server((chunked_response(FIRST_BYTES, end=False), SocketFault.STALL)) as server,
        connected_provider(server.url) as provider,
    ):
        stream = await provider(streaming_attempt())
        await stream.aclose()
        await asyncio.wait_for(server.disconnected.wait(), 5.0)


async def test_calls_wait_for_a_connection_and_then_fail() -> None:
    pool = {"max_connections": 1, "connect_timeout": 0.5}  # also the limit of the connects, which a busy machine slows
    silent = (chunked_response(FIRST_BYTES, end=False), SocketFault.STALL)
    async with raw_server(silent) as server, connected_provider(server.url, pool=pool) as provider:
        stream = await provider(streaming_attempt())
        with pytest.raises(Overloaded, match="all 1 connections"):
            await provider(streaming_attempt())
        await stream.aclose()
        await (await provider(streaming_attempt())).aclose()


@pytest.mark.parametrize("response", [(TEXT_RESPONSE,), (SocketFault.RESET,), (http_response(b"", "500 No"),)])
async def test_connections_are_returned_to_the_pool_however_a_call_ends(
    response: tuple[bytes | SocketFault, ...],
) -> None:
    pool = {"max_connections": 1, "connect_timeout": 5.0}
    async with raw_server(response) as server, connected_provider(server.url, pool=pool) as provider:
        for _ in range(3):
            outcome = await asyncio.gather(provider(unary_attempt()), return_exceptions=True)
            assert not isinstance(outcome[0], Overloaded)


async def test_idle_connections_are_limited() -> None:
    pool = {"max_idle_connections": 1}
    async with raw_server((TEXT_RESPONSE,)) as server, connected_provider(server.url, pool=pool) as provider:
        await asyncio.gather(*(provider(unary_attempt()) for _ in range(3)))
        before = server.connections
        await asyncio.gather(*(provider(unary_attempt()) for _ in range(3)))

    assert (before, server.connections) == (3, 5)


async def test_an_enabled_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server((TEXT_RESPONSE,)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        there = provider_settings("http://localhost:9/v1", use_proxy=True)
        provider = open_provider("upstream", there, LIMITS)
        try:
            assert await parts_from(await provider(unary_attempt())) == EXPECTED_PARTS
        finally:
            await provider.aclose()

    assert proxy.requests[0].startswith(b"POST http://localhost:9/v1/chat/completions ")


async def test_probes_and_operations_do_not_wait_for_connections_of_generations() -> None:
    stream = (chunked_response(FIRST_BYTES, end=False), SocketFault.STALL)
    models = (http_response(b'{"data": []}'),)
    async with raw_server(stream, models) as server:
        settings = provider_settings(server.url, max_connections=1)
        provider = open_provider("upstream", settings, LIMITS)
        open_stream = await provider(streaming_attempt())
        await provider.probe()
        lister = model_lister_for("upstream", provider)
        assert lister is not None
        found = await lister.models()
        await open_stream.aclose()
        await provider.aclose()

    assert (found, len(server.requests)) == ((), 3)


@pytest.mark.parametrize("chunks", [1, 2], ids=["same segment", "next segment"])
async def test_a_stray_second_response_is_never_the_answer_to_another_call(chunks: int) -> None:
    stray = (TEXT_RESPONSE + STRAY,) if chunks == 1 else (TEXT_RESPONSE, STRAY)
    async with raw_server(stray, (TEXT_RESPONSE,)) as server, connected_provider(server.url) as provider:
        first = await parts_from(await provider(unary_attempt()))
        second = await parts_from(await provider(unary_attempt()))

    assert (first, second) == (EXPECTED_PARTS, EXPECTED_PARTS)
    assert server.connections == 2
