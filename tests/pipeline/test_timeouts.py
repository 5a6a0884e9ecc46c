import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, FirstTokenTimeout, ProviderTimeout, StreamInterrupted
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Attempt, StreamTimeouts
from aimanager_server.core.response import (
    Event,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    ResponseMetadata,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.stream import Completed, Failed, Outcome, ResponseStream, StreamObserver
from aimanager_server.pipeline.timeouts import EnforceTimeouts, idle_timeout_after
from tests.support.calls import TARGET, make_attempt, make_call
from tests.support.event_loop import in_virtual_time
from tests.support.layers import accounting_layer
from tests.support.upstream import FINISHED, RESPONSE_EVENTS, USAGE

TIMEOUTS = StreamTimeouts(first_token=10.0, text=10.0, tool_call=90.0, reasoning=120.0)


def timed_attempt(*, deadline: float = 1000.0, streaming: bool = True, **fields: Any) -> Attempt[Any]:
    call = make_call(targets=(replace(TARGET, timeouts=TIMEOUTS),), deadline=deadline, streaming=streaming)
    return make_attempt(call, **fields)


class Provider:
    """Sends each event after its delay in seconds; records whether it was closed or cancelled."""

    def __init__(self, *script: tuple[float, Event], first_content_after: float = 0.0) -> None:
        self._script = script
        self._first_content_after = first_content_after
        self.closed = False
        self.cancelled = False

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        await self._sleep(self._first_content_after)
        metadata = ResponseMetadata(attempt.id, attempt.requested_model, *attempt.target.key)
        return ResponseStream.from_iterator(metadata, self._events(), self._close, lambda: USAGE)

    async def _events(self) -> AsyncIterator[Event]:
        for seconds, event in self._script:
            await self._sleep(seconds)
            yield event

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def _close(self) -> None:
        self.closed = True


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_silent_provider_raises_first_token_timeout() -> None:
    provider = Provider(first_content_after=60.0)

    with pytest.raises(FirstTokenTimeout, match="No content from mock/mock-large within 10 s"):
        await EnforceTimeouts()(timed_attempt(first_token_timeout=10.0), provider)

    assert now() == 10.0
    assert provider.cancelled


@in_virtual_time
async def test_first_content_may_take_until_the_deadline_without_timeout() -> None:
    response = await EnforceTimeouts()(timed_attempt(), Provider((0, RESPONSE_EVENTS[0]), first_content_after=500.0))

    assert now() == 500.0
    await response.aclose()


@in_virtual_time
async def test_first_token_timeout_beyond_the_deadline_is_ignored() -> None:
    response = await EnforceTimeouts()(
        timed_attempt(first_token_timeout=10.0, deadline=5.0),
        Provider((0, RESPONSE_EVENTS[0]), first_content_after=20.0),
    )

    assert now() == 20.0
    await response.aclose()


@in_virtual_time
async def test_idle_text_stream_is_interrupted_with_its_usage() -> None:
    provider = Provider((0, TextDelta(0, "Hel")), (60, TextDelta(0, "lo")))
    attempt = timed_attempt()
    response = await compose((accounting_layer(clock=now), EnforceTimeouts()), provider)(attempt)

    with pytest.raises(StreamInterrupted, match="after the first content: No content for 10 s") as raised:
        await response.result()

    assert now() == 10.0
    assert isinstance(raised.value.__cause__, ProviderTimeout)
    assert (attempt.record.error_reason, attempt.record.usage) == ("STREAM_INTERRUPTED", USAGE)
    assert attempt.record.is_interrupted
    assert provider.cancelled
    assert provider.closed


@in_virtual_time
async def test_observers_see_the_timeout_as_the_failure() -> None:
    outcomes: list[Outcome] = []

    class Observer(StreamObserver):
        def on_end(self, outcome: Outcome) -> None:
            outcomes.append(outcome)

    response = await EnforceTimeouts()(timed_attempt(), Provider((0, TextDelta(0, "Hel")), (60, TextDelta(0, "lo"))))
    response.observed_by(Observer())

    with pytest.raises(StreamInterrupted) as raised:
        await response.result()

    assert outcomes == [Failed(raised.value)]


@in_virtual_time
async def test_task_that_read_an_idle_stream_goes_on() -> None:
    response = await EnforceTimeouts()(timed_attempt(), Provider((0, TextDelta(0, "x")), (60, FINISHED)))

    with pytest.raises(StreamInterrupted):
        await response.result()
    await asyncio.sleep(1)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@in_virtual_time
async def test_idle_timeout_starts_with_the_wait_and_not_with_the_last_event() -> None:
    response = await EnforceTimeouts()(timed_attempt(), Provider((0, TextDelta(0, "x")), (9, FINISHED)))
    await response.read()
    await asyncio.sleep(8)

    assert await response.read() == [FINISHED]
    assert now() == 17.0


@in_virtual_time
async def test_first_event_that_has_arrived_sets_the_first_idle_timeout() -> None:
    attempt = timed_attempt()

    class Buffered:
        buffered = (TextDelta(0, "Hel"),)

        async def read(self) -> list[Event]:
            await asyncio.sleep(60)
            return [FINISHED]

        async def aclose(self) -> None: ...

        def usage_so_far(self) -> None: ...

    async def respond(_: Attempt[Any]) -> ResponseStream:
        return ResponseStream(ResponseMetadata("call-1", "", *TARGET.key), Buffered())

    response = await EnforceTimeouts()(attempt, respond)

    with pytest.raises(StreamInterrupted):
        await response.read()

    assert now() == 10.0


@in_virtual_time
async def test_slow_but_steady_text_does_not_time_out() -> None:
    response = await EnforceTimeouts()(
        timed_attempt(), Provider(*((9.0, TextDelta(0, "x")) for _ in range(20)), (9.0, FINISHED))
    )

    outcomes: list[Outcome] = []

    class Observer(StreamObserver):
        def on_end(self, outcome: Outcome) -> None:
            outcomes.append(outcome)

    result = await response.observed_by(Observer()).result()

    assert result.finished == FINISHED
    assert now() == 189.0
    assert outcomes == [Completed(FINISHED)]


@in_virtual_time
async def test_deadline_ends_a_started_stream() -> None:
    response = await EnforceTimeouts()(
        timed_attempt(deadline=12.0), Provider((0, TextDelta(0, "x")), (9, TextDelta(0, "y")), (9, FINISHED))
    )

    with pytest.raises(DeadlineExceeded) as raised:
        await response.result()

    assert (now(), raised.value.__cause__) == (12.0, None)


@in_virtual_time
async def test_reader_time_does_not_count_as_idle() -> None:
    response = await EnforceTimeouts()(
        timed_attempt(), Provider((0, TextDelta(0, "x")), (1, TextDelta(0, "y")), (1, FINISHED))
    )

    events = []
    async for event in response:
        events.append(event)
        await asyncio.sleep(30)

    assert events[-1] == FINISHED


@in_virtual_time
async def test_cancelled_reader_gets_cancelled_error() -> None:
    response = await EnforceTimeouts()(timed_attempt(), Provider((0, TextDelta(0, "x")), (60, FINISHED)))
    task = asyncio.ensure_future(response.result())
    await asyncio.sleep(3)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 3.0


@in_virtual_time
async def test_unary_response_has_no_idle_timeout() -> None:
    upstream = Provider((0, RESPONSE_EVENTS[0]), (300, FINISHED))

    result = await (await EnforceTimeouts()(timed_attempt(streaming=False), upstream)).result()

    assert result.finished == FINISHED


@in_virtual_time
async def test_delay_after_the_completion_event_does_not_time_out() -> None:
    class SlowToClose(Provider):
        async def _events(self) -> AsyncIterator[Event]:
            yield FINISHED
            await asyncio.sleep(60)

    result = await (await EnforceTimeouts()(timed_attempt(deadline=30.0), SlowToClose())).result()

    assert result.finished == FINISHED


@in_virtual_time
async def test_closing_stops_the_timer() -> None:
    provider = Provider((0, TextDelta(0, "x")), (60, FINISHED))
    response = await EnforceTimeouts()(timed_attempt(), provider)
    await anext(aiter(response))

    await response.aclose()
    await asyncio.sleep(100)

    assert provider.closed
    assert not provider.cancelled


@pytest.mark.parametrize(
    ("event", "is_reasoning", "seconds"),
    [
        (TextDelta(0, "x"), True, 10.0),
        (ToolCallDelta(0, "", "", "{"), False, 90.0),
        (ReasoningDelta(0, "x"), False, 120.0),
        (ReasoningProgress(), False, 120.0),
        (PartCompleted(0, Text("x")), False, 10.0),
        (PartCompleted(0, Text("x")), True, 120.0),
    ],
)
def test_idle_timeout_depends_on_the_last_event(event: Event, is_reasoning: bool, seconds: float) -> None:
    assert idle_timeout_after(event, TIMEOUTS, is_reasoning=is_reasoning) == seconds
