"""A response is complete once the provider has reported its end, whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, ProviderUnreachable, StreamInterrupted
from aimanager_server.core.request import StreamTimeouts
from aimanager_server.core.response import FinishReason
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.http.stream import END_GRACE_SECONDS
from aimanager_server.providers.http.transport import HttpxTransport
from aimanager_server.resilience.key_pool import KeyPool
from tests.support import gemini
from tests.support.chat_completions import LIMITS, chunk, collect_events, connected_provider, make_attempt
from tests.support.event_loop import in_virtual_time
from tests.support.http_servers.raw import SocketFault, chunked_response, raw_server
from tests.support.http_servers.scripted import SSE, STREAM_ATTEMPT, BodyPieces, streaming_provider
from tests.support.recordings import WIRES
from tests.support.wire_cases import completed_parts, finished_event, sse

CONTENT, STOP = chunk(content="Hi"), b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE_CHUNK = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
EXPECTED_USAGE = Usage(5, 2, source=UsageSource.REPORTED)


def now() -> float:
    return asyncio.get_running_loop().time()


class SlowBody(httpx.AsyncByteStream):
    """A body that waits after each chunk and never ends."""

    def __init__(self, *chunks: bytes, seconds: float) -> None:
        self._chunks = chunks
        self._seconds = seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk_bytes in self._chunks:
            yield chunk_bytes
            await asyncio.sleep(self._seconds)
        await asyncio.Event().wait()


def provider_of(wire: str, body: httpx.AsyncByteStream) -> HttpProvider:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=SSE, stream=body))
    return HttpProvider("upstream", WIRES[wire], HttpxTransport(transport), KeyPool([], lambda: 0.0), LIMITS)


@in_virtual_time
async def test_a_finish_reason_completes_a_response_on_an_open_connection() -> None:
    provider, body = streaming_provider(CONTENT, STOP, asyncio.Event())

    last = finished_event(await collect_events(await provider(STREAM_ATTEMPT)))

    assert (last.reason, last.usage.source) == (FinishReason.STOP, UsageSource.MISSING)
    assert END_GRACE_SECONDS <= now() < END_GRACE_SECONDS + 0.2
    assert body.closed


@in_virtual_time
async def test_a_response_in_a_single_read_ends_after_the_grace_period() -> None:
    provider, _ = streaming_provider(CONTENT + STOP, asyncio.Event())

    assert finished_event(await collect_events(await provider(STREAM_ATTEMPT))).reason is FinishReason.STOP
    assert now() < END_GRACE_SECONDS + 0.2


@in_virtual_time
async def test_an_empty_response_completes() -> None:
    provider, _ = streaming_provider(STOP, asyncio.Event())

    assert [type(event).__name__ for event in await collect_events(await provider(STREAM_ATTEMPT))] == ["Finished"]
    assert now() < END_GRACE_SECONDS + 0.2


@in_virtual_time
async def test_usage_within_the_grace_period_is_read() -> None:
    body = SlowBody(CONTENT + STOP, USAGE_CHUNK, seconds=0.9 * END_GRACE_SECONDS)

    last = finished_event(await collect_events(await provider_of("chat_completions", body)(STREAM_ATTEMPT)))

    assert last.usage == EXPECTED_USAGE


@in_virtual_time
async def test_content_after_a_finish_reason_is_read() -> None:
    body = SlowBody(CONTENT + STOP, CONTENT, CONTENT + STOP, DONE, seconds=0.9 * END_GRACE_SECONDS)

    events = await collect_events(await provider_of("chat_completions", body)(STREAM_ATTEMPT))

    assert completed_parts(events) == (Text("HiHiHi"),)


@in_virtual_time
async def test_a_finish_reason_with_every_chunk_completes_nothing() -> None:
    for ending in (asyncio.Event(), ProviderUnreachable("reset")):
        provider, _ = streaming_provider(CONTENT + STOP, CONTENT + STOP, ending)
        stream = await provider(STREAM_ATTEMPT)

        with pytest.raises((StreamInterrupted, TimeoutError)):
            async with asyncio.timeout(60.0):
                await collect_events(stream)


@in_virtual_time
async def test_comments_do_not_extend_the_grace_period() -> None:
    body = SlowBody(CONTENT + STOP, *[PING] * 100, seconds=0.3 * END_GRACE_SECONDS)

    await collect_events(await provider_of("chat_completions", body)(STREAM_ATTEMPT))

    assert now() < END_GRACE_SECONDS + 0.2


@in_virtual_time
async def test_an_end_marker_skips_the_grace_period() -> None:
    for ending in (STOP + USAGE_CHUNK + DONE, STOP + DONE, DONE):
        provider, _ = streaming_provider(CONTENT, ending, asyncio.Event())
        await collect_events(await provider(STREAM_ATTEMPT))

    assert now() < 0.2


@in_virtual_time
async def test_a_gemini_finish_reason_completes_a_response_without_usage() -> None:
    body = BodyPieces(sse(gemini.response({"text": "Hi"}, finish="STOP")), asyncio.Event())

    last = finished_event(await collect_events(await provider_of("gemini", body)(STREAM_ATTEMPT)))

    assert (last.reason, last.usage.source) == (FinishReason.STOP, UsageSource.MISSING)
    assert now() < END_GRACE_SECONDS + 0.2


@in_virtual_time
async def test_a_connection_lost_after_the_finish_reason_is_ignored() -> None:
    provider, _ = streaming_provider(CONTENT, STOP, ProviderUnreachable("reset"))

    assert finished_event(await collect_events(await provider(STREAM_ATTEMPT))).reason is FinishReason.STOP
    assert now() < 0.2


@in_virtual_time
async def test_without_a_finish_reason_a_response_does_not_complete() -> None:
    provider, _ = streaming_provider(CONTENT, asyncio.Event())
    stream = await provider(STREAM_ATTEMPT)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60.0):
            await collect_events(stream)


async def test_an_error_event_after_the_finish_reason_interrupts_the_stream() -> None:
    provider, _ = streaming_provider(CONTENT, STOP + b'data: {"error":{"message":"no"}}\n\n')
    stream = await provider(STREAM_ATTEMPT)

    with pytest.raises(StreamInterrupted):
        await collect_events(stream)


@in_virtual_time
async def test_a_cancellation_within_the_grace_period_is_propagated() -> None:
    provider, body = streaming_provider(CONTENT, STOP, asyncio.Event())
    stream = await provider(STREAM_ATTEMPT)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(END_GRACE_SECONDS / 2):
            await collect_events(stream)

    assert body.closed


@in_virtual_time
async def test_the_deadline_applies_within_the_grace_period() -> None:
    provider, _ = streaming_provider(STOP, asyncio.Event())

    with pytest.raises(DeadlineExceeded):
        await provider(make_attempt(provider="upstream", streaming=True, deadline=END_GRACE_SECONDS / 2))


@pytest.mark.parametrize("ending", [(STOP,), (STOP, USAGE_CHUNK)], ids=["without usage", "with usage"])
async def test_the_connection_is_closed_if_the_server_keeps_it_open(ending: tuple[bytes, ...]) -> None:
    attempt = make_attempt(provider="upstream", streaming=True)
    # The grace period is half of the idle timeout.
    attempt.target = replace(attempt.target, timeouts=StreamTimeouts(text=0.1))
    async with (
        raw_server((chunked_response(CONTENT, *ending, end=False), SocketFault.STALL)) as server,
        connected_provider(server.url) as provider,
    ):
        events = await collect_events(await provider(attempt))
        async with asyncio.timeout(5):
            await server.disconnected.wait()

    assert completed_parts(events)
    assert finished_event(events).usage == (EXPECTED_USAGE if USAGE_CHUNK in ending else Usage())
