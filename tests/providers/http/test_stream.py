"""Streamed responses: interruption, cancellation, deadlines and completion."""

from __future__ import annotations

import asyncio
import tracemalloc

import httpx
import pytest

from aimanager_server.core.errors import (
    DeadlineExceeded,
    ProviderInternalError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderUnreachable,
    StreamInterrupted,
)
from aimanager_server.core.response import Event, Finished, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage
from aimanager_server.providers.http.stream import HttpStream
from aimanager_server.providers.http.transport import HttpxTransport, Response
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.chat_completions import chat_wire, collect_events, deadline_in, make_attempt, recorded
from tests.support.http_servers.scripted import (
    STREAM,
    STREAM_ATTEMPT,
    STREAM_BEGINNING,
    STREAM_REST,
    BodyPieces,
    streaming_provider,
)
from tests.support.wire_cases import finished_event


@pytest.mark.parametrize("content", [b"", b"hello", b": ping\n\n", b"<html></html>"])
async def test_a_stream_without_content_is_an_error(content: bytes) -> None:
    provider, body = streaming_provider(content)

    with pytest.raises(ProviderProtocolError):
        await provider(STREAM_ATTEMPT)

    assert body.closed


async def test_an_error_before_the_first_content_is_raised_unchanged() -> None:
    provider, body = streaming_provider(recorded("chat_completions/error_first.sse"))

    with pytest.raises(ProviderRateLimited):
        await provider(STREAM_ATTEMPT)

    assert body.closed


@pytest.mark.parametrize("name", ["error_later", "cut"])
async def test_an_error_after_the_first_content_interrupts_the_stream(name: str) -> None:
    content = recorded(f"chat_completions/{name}.sse")
    end = content.index(b"\n\n") + 2
    provider, body = streaming_provider(content[:end], content[end:])

    stream = await provider(STREAM_ATTEMPT)
    with pytest.raises(StreamInterrupted) as caught:
        await collect_events(stream)

    assert isinstance(caught.value.__cause__, ProviderInternalError | ProviderProtocolError)
    assert body.closed


async def test_an_interrupted_stream_reports_the_usage_so_far() -> None:
    content = recorded("chat_completions/cumulative_usage.sse")
    provider, _ = streaming_provider(content[: content.index(b" you")], ProviderUnreachable("reset"))

    stream = await provider(STREAM_ATTEMPT)
    with pytest.raises(StreamInterrupted, match="reset") as caught:
        await collect_events(stream)

    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 1


async def read_to_end(stream: ResponseStream) -> None:
    while await stream.read():
        """Keep no events."""


@pytest.mark.parametrize("end", [b"data: {oops\n\n", b"", ProviderUnreachable("reset")], ids=["event", "end", "reset"])
async def test_the_error_of_an_interrupted_stream_does_not_keep_its_text(end: bytes | Exception) -> None:
    delta = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (b"x" * 10_000)
    provider, _ = streaming_provider(*[delta] * 400, end)
    stream = await provider(STREAM_ATTEMPT)

    tracemalloc.start()
    try:
        with pytest.raises(StreamInterrupted) as caught:
            await read_to_end(stream)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert caught.value.__traceback__ is not None
    assert peak > 4_000_000
    assert kept < 1_000_000


@pytest.mark.parametrize(
    ("streaming", "message"), [(True, "before the provider sent any"), (False, "before the provider completed")]
)
async def test_the_error_tells_what_had_not_arrived_at_the_deadline(streaming: bool, message: str) -> None:
    provider, _ = streaming_provider(b" ", asyncio.Event())

    with pytest.raises(DeadlineExceeded, match=message):
        await provider(make_attempt(provider="upstream", streaming=streaming, deadline=deadline_in(0.02)))


async def test_the_deadline_applies_before_the_first_content() -> None:
    provider, body = streaming_provider(b": ping\n\n", asyncio.Event())

    with pytest.raises(DeadlineExceeded) as caught:
        await provider(make_attempt(provider="upstream", streaming=True, deadline=deadline_in(0.02)))

    assert body.closed
    assert caught.value.provider == "upstream"


async def test_the_consumer_enforces_timeouts_after_the_first_content() -> None:
    provider, body = streaming_provider(STREAM_BEGINNING, asyncio.Event())

    stream = await provider(make_attempt(provider="upstream", streaming=True, deadline=deadline_in(0.01)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await collect_events(stream)

    assert body.closed


async def test_a_deadline_that_passes_between_two_reads_is_deadline_exceeded() -> None:
    provider, body = streaming_provider(STREAM_BEGINNING, TimeoutError())
    stream = await provider(STREAM_ATTEMPT)

    with pytest.raises(DeadlineExceeded, match="before the response was complete") as caught:
        await collect_events(stream)

    assert (caught.value.provider, body.closed) == ("upstream", True)


async def test_the_usage_so_far_remains_available_after_closing() -> None:
    content = recorded("chat_completions/cumulative_usage.sse")
    provider, _ = streaming_provider(content[: content.index(b" you")], asyncio.Event())
    stream = await provider(STREAM_ATTEMPT)
    before = stream.usage_so_far()
    uncounted, _ = streaming_provider(STREAM_BEGINNING, asyncio.Event())

    await stream.aclose()

    after = stream.usage_so_far()
    assert before == after
    assert after is not None
    assert after.output_tokens == 1
    assert (await uncounted(STREAM_ATTEMPT)).usage_so_far() is None


async def test_closing_an_unread_stream_closes_its_connection() -> None:
    provider, body = streaming_provider(STREAM_BEGINNING, asyncio.Event())
    stream = await provider(STREAM_ATTEMPT)

    await stream.aclose()
    await stream.aclose()

    assert body.closed
    assert await collect_events(stream) == []


@pytest.mark.parametrize("pieces", [(), (STREAM_BEGINNING,)], ids=["before", "after"])
async def test_cancelling_closes_the_connection(pieces: tuple[bytes, ...]) -> None:
    provider, body = streaming_provider(*pieces, asyncio.Event())

    async def read() -> None:
        await collect_events(await provider(STREAM_ATTEMPT))

    task = asyncio.create_task(read())
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert body.closed


async def test_waiting_counts_as_upstream_time() -> None:
    data_arrived = asyncio.Event()
    provider, _ = streaming_provider(STREAM_BEGINNING, data_arrived, STREAM_REST)
    call = make_attempt(provider="upstream", streaming=True)
    asyncio.get_running_loop().call_later(0.01, data_arrived.set)

    await collect_events(await provider(call))

    assert call.upstream_timer.seconds >= 0.005


async def test_data_after_the_end_is_not_waited_for() -> None:
    provider, body = streaming_provider(STREAM, asyncio.Event())

    events = await collect_events(await provider(STREAM_ATTEMPT))

    assert isinstance(events[-1], Finished)
    assert body.closed


async def test_an_error_after_the_end_is_ignored() -> None:
    provider, body = streaming_provider(STREAM, ProviderUnreachable("reset"))

    assert isinstance((await collect_events(await provider(STREAM_ATTEMPT)))[-1], Finished)
    assert body.closed


async def test_the_first_content_may_take_several_reads() -> None:
    provider, _ = streaming_provider(*[STREAM[end : end + 1] for end in range(len(STREAM))])

    events = await collect_events(await provider(STREAM_ATTEMPT))

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Grüße aus Rom 😀."
    assert finished_event(events).usage.input_tokens == 25


class NeverComplete:
    """A reader that violates its contract: `end` neither completes the response nor raises."""

    usage = Usage()
    is_content_complete = False

    def feed(self, data: bytes) -> list[Event]:
        return []

    def end(self) -> list[Event]:
        return []


async def respond_with(*pieces: bytes) -> Response:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, stream=BodyPieces(*pieces)))
    return await HttpxTransport(transport).send(HttpRequest("GET", "https://upstream.test/", {}))


async def test_a_reader_that_never_completes_is_an_error() -> None:
    stream = HttpStream(STREAM_ATTEMPT, await respond_with(b"x"), NeverComplete(), lambda error: error, 100)

    with pytest.raises(ProviderProtocolError, match="without a completion event"):
        await stream.start()


async def test_a_read_returns_the_events_of_one_network_read() -> None:
    response = await respond_with(STREAM_BEGINNING, STREAM_REST)
    stream = HttpStream(STREAM_ATTEMPT, response, chat_wire().stream_reader(), lambda error: error, 10_000)

    await stream.start()
    batches = [await stream.read() for _ in range(4)]

    assert [bool(batch) for batch in batches] == [True, True, False, False]
    assert isinstance(batches[1][-1], Finished)
    assert len(batches[1]) > 1
