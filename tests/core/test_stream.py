"""ResponseStream: batches, sources, observers and finalizers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import (
    InvalidRequest,
    StreamInterrupted,
)
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningProgress,
)
from aimanager_server.core.stream import (
    Cancelled,
    Completed,
    Failed,
    ResponseStream,
    StreamObserver,
)
from tests.support.event_loop import in_virtual_time, run_ready_tasks
from tests.support.streams import HEL, LO, Batches, Observer, metadata, outcomes
from tests.support.upstream import FINISHED, RESPONSE_EVENTS, USAGE


async def test_one_read_returns_the_events_of_one_batch() -> None:
    stream = ResponseStream(metadata(), Batches([HEL, LO], [FINISHED]))

    assert await stream.read() == [HEL, LO]
    assert not stream.is_ended
    assert await stream.read() == [FINISHED]
    assert stream.is_ended
    assert await stream.read() == []


async def test_iteration_and_result_join_the_batches() -> None:
    batches: tuple[list[Event], ...] = [HEL, LO], [PartCompleted(0, Text("Hello")), FINISHED]

    events = [event async for event in ResponseStream(metadata(), Batches(*batches))]
    result = await ResponseStream(metadata(), Batches(*batches)).result()

    assert events == [*batches[0], *batches[1]]
    assert (result.message.parts, result.finished) == ((Text("Hello"),), FINISHED)


async def test_source_that_ended_is_not_closed_again() -> None:
    source = Batches([FINISHED])
    stream = ResponseStream(metadata(), source)

    await stream.read()
    await stream.aclose()

    assert source.closed == 0


async def test_buffered_events_and_usage_come_from_the_source() -> None:
    source = Batches()
    stream = ResponseStream(metadata(), source)

    source.buffered = [ReasoningProgress()]
    hidden = stream.has_visible_content
    source.buffered = [ReasoningProgress(), HEL]

    assert (hidden, stream.has_visible_content) == (False, True)
    assert stream.buffered == [ReasoningProgress(), HEL]
    assert stream.usage_so_far() == USAGE


async def test_complete_response_needs_one_read() -> None:
    stream = ResponseStream.of(metadata(), list(RESPONSE_EVENTS))

    assert stream.has_visible_content
    assert await stream.read() == list(RESPONSE_EVENTS)
    assert stream.usage_so_far() == USAGE
    assert stream.is_ended


async def test_iterator_is_read_event_by_event_and_closed_at_its_end() -> None:
    closed: list[bool] = []

    async def events() -> AsyncIterator[Event]:
        try:
            for event in (HEL, FINISHED):
                yield event
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def close() -> None:
        closed.append(True)

    stream = ResponseStream.from_iterator(metadata(), events(), close, lambda: USAGE)

    assert [await stream.read(), await stream.read(), await stream.read()] == [[HEL], [FINISHED], []]
    assert closed == [True, True]
    assert stream.usage_so_far() == USAGE


async def test_iterator_that_never_started_releases_its_connection() -> None:
    closed: list[bool] = []

    async def events() -> AsyncIterator[Event]:
        yield FINISHED

    async def close() -> None:
        closed.append(True)

    await ResponseStream.from_iterator(metadata(), events(), close).aclose()

    assert closed == [True]


async def test_observers_are_called_in_the_order_in_which_they_were_added() -> None:
    log: list[tuple[str, object]] = []
    stream = ResponseStream(metadata(), Batches([HEL], [FINISHED]))
    stream.observed_by(Observer(log, "inner")).observed_by(Observer(log, "outer"))

    await stream.result()

    assert log == [
        ("inner", [HEL]),
        ("outer", [HEL]),
        ("inner", [FINISHED]),
        ("outer", [FINISHED]),
        ("inner", Completed(FINISHED)),
        ("outer", Completed(FINISHED)),
    ]


async def test_later_observers_and_the_reader_see_the_events_as_changed() -> None:
    class Doubling(StreamObserver):
        def on_events(self, events: list[Event]) -> None:
            events[:] = [event for event in events for _ in range(2)]

    class Replacing(StreamObserver):
        def on_events(self, events: list[Event]) -> None:
            if isinstance(events[-1], Finished):
                events[-1] = Finished(FinishReason.STOP, "replaced")

    log: list[tuple[str, object]] = []
    stream = ResponseStream(metadata(), Batches([HEL], [FINISHED]))
    stream.observed_by(Replacing()).observed_by(Doubling()).observed_by(Observer(log))

    assert await stream.read() == [HEL, HEL]
    *_, finished = await stream.read()
    assert finished == Finished(FinishReason.STOP, "replaced")
    assert outcomes(log) == [Completed(Finished(FinishReason.STOP, "replaced"))]


async def test_a_batch_whose_events_were_all_removed_is_skipped() -> None:
    class Hiding(StreamObserver):
        def on_events(self, events: list[Event]) -> None:
            events[:] = [event for event in events if event is not HEL]

    stream = ResponseStream(metadata(), Batches([HEL], [HEL], [LO], [FINISHED])).observed_by(Hiding())

    assert [await stream.read() for _ in range(3)] == [[LO], [FINISHED], []]


async def test_finalizers_are_awaited_in_order_before_the_reader_and_the_observers_see_the_end() -> None:
    log: list[tuple[str, object]] = []

    async def store(events: list[Event]) -> None:
        await asyncio.sleep(0)
        log.append(("store", list(events)))

    async def extend(events: list[Event]) -> None:
        log.append(("extend", None))
        events.insert(0, LO)

    stream = ResponseStream(metadata(), Batches([HEL], [FINISHED])).observed_by(Observer(log))
    stream.finalized_by(extend).finalized_by(store)

    first, last = await stream.read(), await stream.read()

    assert (first, last) == ([HEL], [LO, FINISHED])
    assert log == [
        ("", [HEL]),
        ("", [FINISHED]),
        ("extend", None),
        ("store", [LO, FINISHED]),
        ("", Completed(FINISHED)),
    ]


async def test_error_of_a_finalizer_fails_the_stream_and_later_ones_are_not_called() -> None:
    log: list[tuple[str, object]] = []
    error, source = InvalidRequest("not valid"), Batches([HEL, FINISHED])

    async def reject(_: list[Event]) -> None:
        raise error

    async def store(_: list[Event]) -> None:
        log.append(("store", None))

    stream = ResponseStream(metadata(), source).observed_by(Observer(log))
    stream.finalized_by(reject).finalized_by(store)

    assert await stream.read() == [HEL]  # the reader sees all that precedes the end
    with pytest.raises(InvalidRequest):
        await stream.read()

    assert log == [("", [HEL, FINISHED]), ("", Failed(error))]
    assert (source.closed, await stream.read()) == (1, [])


async def test_closing_before_the_finalizers_ran_ends_the_stream_as_cancelled() -> None:
    log: list[tuple[str, object]] = []

    async def store(_: list[Event]) -> None:
        log.append(("store", None))

    stream = ResponseStream(metadata(), Batches([HEL, FINISHED])).observed_by(Observer(log)).finalized_by(store)
    await stream.read()

    await stream.aclose()

    assert log == [("", [HEL, FINISHED]), ("", Cancelled())]


async def test_response_whose_completion_event_has_arrived_cannot_fail() -> None:
    async def store(_: list[Event]) -> None: ...

    stream = ResponseStream(metadata(), Batches([HEL, FINISHED])).finalized_by(store)
    await stream.read()

    stream.fail(StreamInterrupted("too late"))

    assert await stream.read() == [FINISHED]


async def test_finalizers_are_not_called_for_a_response_that_is_not_complete() -> None:
    log: list[str] = []

    async def store(_: list[Event]) -> None:
        log.append("stored")

    interrupted = ResponseStream(metadata(), Batches([HEL], StreamInterrupted("cut"))).finalized_by(store)
    truncated = ResponseStream(metadata(), Batches([HEL])).finalized_by(store)
    closed = ResponseStream(metadata(), Batches([HEL])).finalized_by(store)

    for stream in (interrupted, truncated):
        with pytest.raises(StreamInterrupted):
            await stream.result()
    await closed.aclose()

    assert log == []


async def test_cancelled_finalizer_ends_the_stream_as_cancelled() -> None:
    log: list[tuple[str, object]] = []

    async def store(_: list[Event]) -> None:
        await asyncio.Event().wait()

    stream = ResponseStream(metadata(), Batches([FINISHED])).observed_by(Observer(log)).finalized_by(store)
    task = asyncio.ensure_future(stream.read())
    await run_ready_tasks()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(log) == [Cancelled()]


@in_virtual_time
async def test_pending_read_has_a_start_time() -> None:
    stream = ResponseStream(metadata(), Batches([HEL], waits=True))
    await stream.read()
    assert stream.waiting_since is None

    await asyncio.sleep(3)
    task = asyncio.ensure_future(stream.read())
    await asyncio.sleep(4)

    assert stream.waiting_since == 3.0
    task.cancel()
    await asyncio.wait([task])
    assert stream.waiting_since is None
