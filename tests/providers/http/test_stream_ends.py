"""An answer is at its end when its provider said so, whatever the connection does then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from aimanager_server.core.errors import DeadlineExceeded, ProviderUnreachable, StreamInterrupted
from aimanager_server.core.response import FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.stream import GRACE_SECONDS
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyRing
from tests.support import gemini
from tests.support.chat_completions import LIMITS, connected, events_of, finished_of, parts_of, question
from tests.support.chat_completions_answers import chunk
from tests.support.event_loop import in_virtual_time
from tests.support.http_servers.raw import Act, chunked, raw_server
from tests.support.http_servers.scripted import SSE, STREAMED, Pieces, streaming
from tests.support.recordings import WIRES

SAID, STOP = chunk(content="Hi"), b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
COUNTED = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
COUNT = Usage(5, 2, source=UsageSource.REPORTED)


def now() -> float:
    return asyncio.get_running_loop().time()


class Late(httpx.AsyncByteStream):
    """A body with a wait behind each of its pieces, and nothing more for ever."""

    def __init__(self, *pieces: bytes, seconds: float) -> None:
        self._pieces = pieces
        self._seconds = seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
            await asyncio.sleep(self._seconds)
        await asyncio.Event().wait()


def provider_of(wire: str, body: httpx.AsyncByteStream) -> HttpProvider:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=SSE, stream=body))
    return HttpProvider("upstream", WIRES[wire], HttpxTransport(transport), KeyRing([], lambda: 0.0), LIMITS)


@in_virtual_time
async def test_a_finish_reason_ends_an_answer_although_the_connection_stays_open() -> None:
    provider, body = streaming(SAID, STOP, asyncio.Event())

    last = finished_of(await events_of(await provider(STREAMED)))

    assert (last.reason, last.usage.source) == (FinishReason.STOP, UsageSource.MISSING)
    assert GRACE_SECONDS <= now() < GRACE_SECONDS + 0.2
    assert body.closed


@in_virtual_time
async def test_an_answer_of_one_read_ends_as_soon() -> None:
    provider, _ = streaming(SAID + STOP, asyncio.Event())

    assert finished_of(await events_of(await provider(STREAMED))).reason is FinishReason.STOP
    assert now() < GRACE_SECONDS + 0.2


@in_virtual_time
async def test_an_empty_answer_begins_as_it_ends() -> None:
    provider, _ = streaming(STOP, asyncio.Event())

    assert [type(event).__name__ for event in await events_of(await provider(STREAMED))] == ["Finished"]
    assert now() < GRACE_SECONDS + 0.2


@in_virtual_time
async def test_usage_that_comes_a_moment_after_the_finish_reason_is_not_lost() -> None:
    body = Late(SAID + STOP, COUNTED, seconds=0.9 * GRACE_SECONDS)

    last = finished_of(await events_of(await provider_of("chat_completions", body)(STREAMED)))

    assert last.usage == COUNT


@in_virtual_time
async def test_comments_lengthen_no_end() -> None:
    body = Late(SAID + STOP, *[PING] * 100, seconds=0.3 * GRACE_SECONDS)

    await events_of(await provider_of("chat_completions", body)(STREAMED))

    assert now() < GRACE_SECONDS + 0.2


@in_virtual_time
async def test_with_finish_reason_and_usage_or_marker_nothing_is_waited_for() -> None:
    for ending in (STOP + COUNTED, STOP + DONE, DONE):
        provider, _ = streaming(SAID, ending, asyncio.Event())
        await events_of(await provider(STREAMED))

    assert now() < 0.2


@in_virtual_time
async def test_geminis_finish_reason_ends_an_answer_without_usage() -> None:
    body = Pieces(gemini.sse(gemini.response({"text": "Hi"}, finish="STOP")), asyncio.Event())

    last = finished_of(await events_of(await provider_of("gemini", body)(STREAMED)))

    assert (last.reason, last.usage.source) == (FinishReason.STOP, UsageSource.MISSING)
    assert now() < GRACE_SECONDS + 0.2


@in_virtual_time
async def test_a_connection_lost_after_the_finish_reason_loses_no_answer() -> None:
    provider, _ = streaming(SAID, STOP, ProviderUnreachable("reset"))

    assert finished_of(await events_of(await provider(STREAMED))).reason is FinishReason.STOP
    assert now() < 0.2


@in_virtual_time
async def test_without_a_finish_reason_nothing_ends_an_answer() -> None:
    provider, _ = streaming(SAID, asyncio.Event())
    reply = await provider(STREAMED)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60.0):
            await events_of(reply)


async def test_an_error_after_the_finish_reason_is_an_error() -> None:
    provider, _ = streaming(SAID, STOP + b'data: {"error":{"message":"no"}}\n\n')
    reply = await provider(STREAMED)

    with pytest.raises(StreamInterrupted):
        await events_of(reply)


@in_virtual_time
async def test_cancelling_within_the_grace_is_a_cancel() -> None:
    provider, body = streaming(SAID, STOP, asyncio.Event())
    reply = await provider(STREAMED)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS / 2):
            await events_of(reply)

    assert body.closed


@in_virtual_time
async def test_the_deadline_before_the_first_event_holds_within_the_grace() -> None:
    provider, _ = streaming(STOP, asyncio.Event())

    with pytest.raises(DeadlineExceeded):
        await provider(question(provider="upstream", streaming=True, deadline=GRACE_SECONDS / 2))


@pytest.mark.parametrize("ending", [(STOP,), (STOP, COUNTED)], ids=["stop", "counted"])
async def test_a_server_that_holds_the_line_is_left_with_the_answer(ending: tuple[bytes, ...]) -> None:
    async with (
        raw_server((chunked(SAID, *ending, end=False), Act.SILENCE)) as server,
        connected(server.url) as provider,
    ):
        events = await events_of(await provider(question(provider="upstream", streaming=True)))
        async with asyncio.timeout(5):
            await server.gone.wait()

    assert parts_of(events)
    assert finished_of(events).usage == (COUNT if COUNTED in ending else Usage())
