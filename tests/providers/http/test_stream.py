"""Streamed answers: what breaks them, and what ends them."""

from __future__ import annotations

import asyncio

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
from aimanager_server.core.usage import Usage
from aimanager_server.providers.http.stream import HttpStream
from aimanager_server.providers.http.transport import Response
from tests.support.chat_completions import events_of, finished_of, fixture, question, soon
from tests.support.http_servers.scripted import BEGUN, REST, STREAM, STREAMED, Pieces, streaming


@pytest.mark.parametrize("content", [b"", b"hello", b": ping\n\n", b"<html></html>"])
async def test_a_stream_that_ends_without_an_answer_is_a_fault(content: bytes) -> None:
    provider, body = streaming(content)

    with pytest.raises(ProviderProtocolError):
        await provider(STREAMED)

    assert body.closed


async def test_an_error_before_the_first_content_is_raised_as_it_is() -> None:
    provider, body = streaming(fixture("chat_completions/error_first.sse"))

    with pytest.raises(ProviderRateLimited):
        await provider(STREAMED)

    assert body.closed


@pytest.mark.parametrize("name", ["error_later", "cut"])
async def test_a_fault_after_the_first_content_interrupts_the_stream(name: str) -> None:
    content = fixture(f"chat_completions/{name}.sse")
    at = content.index(b"\n\n") + 2
    provider, body = streaming(content[:at], content[at:])

    reply = await provider(STREAMED)
    with pytest.raises(StreamInterrupted) as caught:
        await events_of(reply)

    assert isinstance(caught.value.__cause__, ProviderInternalError | ProviderProtocolError)
    assert body.closed


async def test_an_interrupted_stream_says_what_was_counted_so_far() -> None:
    content = fixture("chat_completions/cumulative_usage.sse")
    provider, _ = streaming(content[: content.index(b" you")], ProviderUnreachable("reset"))

    reply = await provider(STREAMED)
    with pytest.raises(StreamInterrupted, match="reset") as caught:
        await events_of(reply)

    assert caught.value.usage is not None
    assert caught.value.usage.output_tokens == 1


async def test_the_deadline_holds_before_the_first_content() -> None:
    provider, body = streaming(b": ping\n\n", asyncio.Event())

    with pytest.raises(DeadlineExceeded) as caught:
        await provider(question(provider="upstream", streaming=True, deadline=soon(0.02)))

    assert body.closed
    assert caught.value.provider == "upstream"


async def test_after_the_first_content_whoever_reads_keeps_the_time() -> None:
    provider, body = streaming(BEGUN, asyncio.Event())

    reply = await provider(question(provider="upstream", streaming=True, deadline=soon(0.01)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await events_of(reply)

    assert body.closed


async def test_the_usage_so_far_is_known_whatever_becomes_of_the_stream() -> None:
    content = fixture("chat_completions/cumulative_usage.sse")
    provider, _ = streaming(content[: content.index(b" you")], asyncio.Event())
    reply = await provider(STREAMED)
    before = reply.usage_so_far()
    uncounted, _ = streaming(BEGUN, asyncio.Event())

    await reply.aclose()

    after = reply.usage_so_far()
    assert before == after
    assert after is not None
    assert after.output_tokens == 1
    assert (await uncounted(STREAMED)).usage_so_far() is None


async def test_closing_a_reply_that_was_never_read_closes_its_connection() -> None:
    provider, body = streaming(BEGUN, asyncio.Event())
    reply = await provider(STREAMED)

    await reply.aclose()
    await reply.aclose()

    assert body.closed
    assert await events_of(reply) == []


@pytest.mark.parametrize("pieces", [(), (BEGUN,)], ids=["before", "after"])
async def test_cancelling_closes_the_connection(pieces: tuple[bytes, ...]) -> None:
    provider, body = streaming(*pieces, asyncio.Event())

    async def read() -> None:
        await events_of(await provider(STREAMED))

    task = asyncio.create_task(read())
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert body.closed


async def test_waiting_is_counted_as_time_away() -> None:
    waited = asyncio.Event()
    provider, _ = streaming(BEGUN, waited, REST)
    call = question(provider="upstream", streaming=True)
    asyncio.get_running_loop().call_later(0.03, waited.set)

    await events_of(await provider(call))

    assert call.upstream_timer.seconds >= 0.025


async def test_what_follows_the_end_is_neither_shown_nor_waited_for() -> None:
    provider, body = streaming(STREAM, asyncio.Event())

    events = await events_of(await provider(STREAMED))

    assert isinstance(events[-1], Finished)
    assert body.closed


async def test_a_fault_after_the_end_changes_nothing() -> None:
    provider, body = streaming(STREAM, ProviderUnreachable("reset"))

    assert isinstance((await events_of(await provider(STREAMED)))[-1], Finished)
    assert body.closed


async def test_the_first_content_may_need_several_reads() -> None:
    provider, _ = streaming(*[STREAM[at : at + 1] for at in range(len(STREAM))])

    events = await events_of(await provider(STREAMED))

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Grüße aus Rom 😀."
    assert finished_of(events).usage.input_tokens == 25


class Mute:
    """A reader that breaks its promise: it neither finishes nor says that the answer was cut."""

    usage = Usage()
    is_ending = False

    def feed(self, data: bytes) -> list[Event]:
        return []

    def end(self) -> list[Event]:
        return []


async def test_a_reader_that_never_ends_does_not_make_an_answer() -> None:
    response = Response(200, {}, Pieces(b"x"))
    stream = HttpStream(STREAMED, response, Mute(), lambda fault: None, 100)

    with pytest.raises(ProviderProtocolError, match="without its end"):
        await stream.begin()


async def test_a_stream_is_its_own_iterator() -> None:
    stream = HttpStream(STREAMED, Response(200, {}, Pieces()), Mute(), lambda fault: None, 100)

    assert aiter(stream) is stream
