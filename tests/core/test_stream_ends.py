"""The ways a ResponseStream ends: completed, failed or cancelled, and exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from aimanager_server.core.errors import (
    GatewayError,
    InvalidRequest,
    ProviderProtocolError,
    ProviderTimeout,
    StreamInterrupted,
)
from aimanager_server.core.response import (
    Event,
)
from aimanager_server.core.stream import (
    Cancelled,
    Completed,
    Failed,
    OnEnd,
    Outcome,
    ResponseStream,
    StreamObserver,
    end_observers,
)
from tests.support.event_loop import run_ready_tasks
from tests.support.streams import HEL, Batches, Observer, metadata, outcomes
from tests.support.upstream import FINISHED


async def test_error_of_the_source_ends_the_stream_once() -> None:
    log: list[tuple[str, object]] = []
    error, ended = StreamInterrupted("cut"), list[str]()
    source = Batches([HEL], error, [FINISHED])
    stream = ResponseStream(metadata(), source)
    stream.observed_by(Observer(log)).observed_by(OnEnd(lambda: ended.append("released")))

    assert await stream.read() == [HEL]
    with pytest.raises(StreamInterrupted) as raised:
        await stream.read()
    await stream.aclose()

    assert raised.value is error
    assert outcomes(log) == [Failed(error)]
    assert (source.closed, ended, await stream.read()) == (1, ["released"], [])


async def test_bug_in_the_source_is_a_failure() -> None:
    log: list[tuple[str, object]] = []
    bug = RuntimeError("bug")
    stream = ResponseStream(metadata(), Batches(bug)).observed_by(Observer(log))

    with pytest.raises(RuntimeError):
        await stream.read()

    assert outcomes(log) == [Failed(bug)]


async def test_end_without_completion_event_is_an_error_of_the_provider() -> None:
    log: list[tuple[str, object]] = []
    source = Batches()
    stream = ResponseStream(metadata(), source).observed_by(Observer(log))

    with pytest.raises(ProviderProtocolError, match="ended without a completion event") as raised:
        await stream.read()

    assert log == [("", Failed(raised.value))]
    assert source.closed == 1


async def test_end_without_completion_event_after_content_is_an_interruption() -> None:
    log: list[tuple[str, object]] = []
    stream = ResponseStream(metadata(), Batches([HEL])).observed_by(Observer(log))

    with pytest.raises(StreamInterrupted, match="ended without a completion event") as raised:
        await stream.result()

    assert isinstance(raised.value.__cause__, ProviderProtocolError)
    assert (raised.value.provider, raised.value.model) == ("mock", "mock-large")
    assert outcomes(log) == [Failed(raised.value)]


async def test_closing_early_ends_the_stream_as_cancelled() -> None:
    log: list[tuple[str, object]] = []
    source = Batches([HEL], [FINISHED])
    stream = ResponseStream(metadata(), source).observed_by(Observer(log))
    await stream.read()

    await stream.aclose()
    await stream.aclose()

    assert outcomes(log) == [Cancelled()]
    assert (source.closed, await stream.read()) == (1, [])


async def test_observers_end_even_if_closing_the_source_fails() -> None:
    class Stuck(Batches):
        async def aclose(self) -> None:
            raise OSError("cannot close")

    log: list[tuple[str, object]] = []
    unread = ResponseStream(metadata(), Stuck()).observed_by(Observer(log))
    failed = ResponseStream(metadata(), Stuck(StreamInterrupted("cut"))).observed_by(Observer(log))

    with pytest.raises(OSError, match="cannot close"):
        await unread.aclose()
    with pytest.raises(OSError, match="cannot close"):
        await failed.read()

    assert [type(outcome) for outcome in outcomes(log)] == [Cancelled, Failed]


async def test_cancelled_reader_ends_the_stream_as_cancelled() -> None:
    log: list[tuple[str, object]] = []
    source = Batches(waits=True)
    stream = ResponseStream(metadata(), source).observed_by(Observer(log))
    task = asyncio.ensure_future(stream.read())
    await run_ready_tasks()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(log) == [Cancelled()]
    assert (source.cancelled, source.closed) == (1, 1)


async def test_error_of_an_observer_fails_the_stream() -> None:
    log: list[tuple[str, object]] = []
    error, source = InvalidRequest("no"), Batches([HEL], [FINISHED])

    class Strict(StreamObserver):
        def on_events(self, events: list[Event]) -> None:
            raise error

        def on_end(self, outcome: Outcome) -> None:
            log.append(("strict", outcome))

    stream = ResponseStream(metadata(), source)
    stream.observed_by(Observer(log, "inner")).observed_by(Strict()).observed_by(Observer(log, "outer"))

    with pytest.raises(InvalidRequest):
        await stream.read()

    assert log == [("inner", [HEL]), ("inner", Failed(error)), ("strict", Failed(error)), ("outer", Failed(error))]
    assert source.closed == 1


@pytest.mark.parametrize("batch", [[FINISHED], StreamInterrupted("cut")])
async def test_observer_that_raises_at_the_end_keeps_no_other_from_ending(batch: list[Event] | GatewayError) -> None:
    log: list[tuple[str, object]] = []

    class Broken(StreamObserver):
        def on_end(self, outcome: Outcome) -> None:
            log.append(("broken", outcome))
            raise RuntimeError("bug")

    stream = ResponseStream(metadata(), Batches(batch))
    stream.observed_by(Broken()).observed_by(Observer(log, "outer"))

    with pytest.raises(RuntimeError, match="bug"):
        await stream.read()
    await stream.aclose()

    ended = [name for name, entry in log if not isinstance(entry, list)]
    assert ended == ["broken", "outer"]
    assert stream.is_ended


def test_all_observers_end_if_several_raise() -> None:
    class Broken(StreamObserver):
        def __init__(self, name: str) -> None:
            self._name = name

        def on_end(self, outcome: Outcome) -> None:
            ended.append(self._name)
            raise RuntimeError(self._name)

    ended: list[str] = []

    with pytest.raises(RuntimeError, match="second") as raised:
        end_observers([Broken("first"), Broken("second"), OnEnd(lambda: ended.append("third"))], Cancelled())

    assert ended == ["first", "second", "third"]
    assert str(raised.value.__context__) == "first"


async def test_failure_ends_a_pending_read_whose_task_goes_on() -> None:
    log: list[tuple[str, object]] = []
    error = StreamInterrupted("too slow")
    error.__cause__ = cause = ProviderTimeout("silent")
    source = Batches(waits=True)
    stream = ResponseStream(metadata(), source).observed_by(Observer(log))

    async def read() -> int:
        with pytest.raises(StreamInterrupted) as raised:
            await stream.read()
        assert raised.value is error
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    task = asyncio.ensure_future(read())
    await run_ready_tasks()

    stream.fail(error)

    assert await task == 0
    assert error.__cause__ is cause
    assert outcomes(log) == [Failed(error)]
    assert (source.cancelled, source.closed) == (1, 1)


async def test_failure_between_two_reads_is_raised_by_the_next() -> None:
    log: list[tuple[str, object]] = []
    error, source = StreamInterrupted("shutting down"), Batches([HEL], [FINISHED])
    stream = ResponseStream(metadata(), source).observed_by(Observer(log))
    await stream.read()

    stream.fail(error)
    stream.fail(StreamInterrupted("a later one"))

    with pytest.raises(StreamInterrupted) as raised:
        await stream.read()
    assert raised.value is error
    assert outcomes(log) == [Failed(error)]
    assert (source.closed, await stream.read()) == (1, [])


async def test_failure_after_the_end_changes_nothing() -> None:
    log: list[tuple[str, object]] = []
    stream = ResponseStream(metadata(), Batches([FINISHED])).observed_by(Observer(log))
    await stream.read()

    stream.fail(StreamInterrupted("too late"))

    assert await stream.read() == []
    assert outcomes(log) == [Completed(FINISHED)]


async def test_cancellation_of_the_reader_is_not_taken_for_a_failure() -> None:
    log: list[tuple[str, object]] = []
    stream = ResponseStream(metadata(), Batches(waits=True)).observed_by(Observer(log))
    task = asyncio.ensure_future(stream.read())
    await run_ready_tasks()

    task.cancel()
    stream.fail(StreamInterrupted("too slow"))

    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(log) == [Cancelled()]
    assert task.cancelled()


async def test_failure_of_a_wrapping_stream_closes_the_wrapped_one() -> None:
    log: list[tuple[str, object]] = []
    error, source = StreamInterrupted("shutting down"), Batches(waits=True)
    inner = ResponseStream(metadata(), source).observed_by(Observer(log, "inner"))
    outer = ResponseStream(metadata(), inner).observed_by(Observer(log, "outer"))
    task = asyncio.ensure_future(outer.read())
    await run_ready_tasks()

    outer.fail(error)

    with pytest.raises(StreamInterrupted):
        await task
    assert log == [("inner", Cancelled()), ("outer", Failed(error))]
    assert source.closed == 1


async def test_wrapped_stream_that_fails_together_with_its_wrapper_leaves_no_cancellation() -> None:
    inner = ResponseStream(metadata(), Batches(waits=True))
    outer = ResponseStream(metadata(), inner)
    error = StreamInterrupted("outer")

    async def read() -> int:
        with pytest.raises(StreamInterrupted) as raised:
            await outer.read()
        assert raised.value is error
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    task = asyncio.ensure_future(read())
    await run_ready_tasks()

    inner.fail(StreamInterrupted("inner"))
    outer.fail(error)

    assert await task == 0


async def test_result_closes_the_stream_if_it_fails() -> None:
    source = Batches([HEL], StreamInterrupted("cut"))

    with pytest.raises(StreamInterrupted):
        await ResponseStream(metadata(), source).result()

    assert source.closed == 1


async def test_read_that_the_event_loop_drops_awaits_nothing() -> None:
    async def wait() -> AsyncIterator[Event]:
        await asyncio.Event().wait()
        yield FINISHED

    async def close() -> None:
        await asyncio.Event().wait()

    read = ResponseStream.from_iterator(metadata(), wait(), close).read()
    read.send(None)

    read.close()  # raises RuntimeError if the coroutine awaits anything
