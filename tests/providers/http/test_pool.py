"""Connections are used again, bounded in number, and closed at once."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core.errors import Overloaded
from aimanager_server.providers.factory import open_provider
from tests.support.chat_completions import LIMITS, connected, events_of, fixture, settings
from tests.support.http_servers.raw import Act, chunked, http, raw_server
from tests.support.pool_requests import BEGUN, SAID, STREAM, TEXT, said_by, streamed, whole


async def test_a_whole_answer_comes_over_a_socket() -> None:
    async with raw_server((TEXT,)) as server, connected(server.url) as provider:
        assert await said_by(await provider(whole())) == SAID

    head = server.requests[0].split(b"\r\n\r\n")[0].decode().lower()
    assert "post /chat/completions http/1.1" in head
    assert head.count("\r\nhost:") == head.count("\r\naccept:") == head.count("\r\ncontent-length:") == 1
    assert "cookie" not in head


async def test_a_connection_is_used_again_after_whole_and_streamed_answers() -> None:
    late = chunked(STREAM, end=False)
    answers = ((TEXT,), (chunked(STREAM),), (late, b"0\r\n\r\n"), (TEXT,))
    async with raw_server(*answers) as server, connected(server.url) as provider:
        for call in (whole(), streamed(), streamed(), whole()):
            await said_by(await provider(call))

    assert (len(server.requests), server.connections) == (4, 1)


async def test_cookies_are_not_kept() -> None:
    answer = http(fixture("openai/text.json"), headers=("Set-Cookie: session=1",))
    async with raw_server((answer,)) as server, connected(server.url) as provider:
        for _ in range(2):
            await provider(whole())

    assert b"session=1" not in server.requests[1]


@pytest.mark.parametrize("begun", [False, True])
async def test_cancelling_closes_the_socket_at_once(begun: bool) -> None:
    answer: tuple[bytes | Act, ...] = (chunked(BEGUN, end=False), Act.SILENCE) if begun else (Act.SILENCE,)

    async with raw_server(answer) as server, connected(server.url) as provider:

        async def read() -> None:
            await events_of(await provider(streamed()))

        task = asyncio.create_task(read())
        await server.asked.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait_for(server.gone.wait(), 5.0)

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_a_reply_that_was_never_read_closes_its_socket() -> None:
    async with raw_server((chunked(BEGUN, end=False), Act.SILENCE)) as server, connected(server.url) as provider:
        reply = await provider(streamed())
        await reply.aclose()
        await asyncio.wait_for(server.gone.wait(), 5.0)


async def test_a_busy_pool_makes_calls_wait_and_then_says_so() -> None:
    pool = {"max_connections": 1, "connect_timeout": 0.02}
    silent = (chunked(BEGUN, end=False), Act.SILENCE)
    async with raw_server(silent) as server, connected(server.url, pool=pool) as provider:
        reply = await provider(streamed())
        with pytest.raises(Overloaded, match="All 1 connections"):
            await provider(streamed())
        await reply.aclose()
        await (await provider(streamed())).aclose()


@pytest.mark.parametrize("answer", [(TEXT,), (Act.RESET,), (http(b"", "500 No"),)])
async def test_a_connection_is_given_back_however_the_call_ends(answer: tuple[bytes | Act, ...]) -> None:
    pool = {"max_connections": 1, "connect_timeout": 0.05}
    async with raw_server(answer) as server, connected(server.url, pool=pool) as provider:
        for _ in range(3):
            outcome = await asyncio.gather(provider(whole()), return_exceptions=True)
            assert not isinstance(outcome[0], Overloaded)


async def test_no_more_idle_connections_are_kept_than_allowed() -> None:
    pool = {"idle_connections": 1}
    async with raw_server((TEXT,)) as server, connected(server.url, pool=pool) as provider:
        await asyncio.gather(*(provider(whole()) for _ in range(3)))
        before = server.connections
        await asyncio.gather(*(provider(whole()) for _ in range(3)))

    assert (before, server.connections) == (3, 5)


async def test_a_proxy_of_the_environment_is_used_where_the_operator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server((TEXT,)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        there = settings("http://localhost:9/v1", use_proxy=True)
        provider = open_provider("upstream", there, LIMITS)
        try:
            assert await said_by(await provider(whole())) == SAID
        finally:
            await provider.aclose()

    assert proxy.requests[0].startswith(b"POST http://localhost:9/v1/chat/completions ")
