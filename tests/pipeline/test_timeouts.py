import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.core.content import Text
from aimanager_server.core.errors import DeadlineExceeded, FirstTokenTimeout, ProviderTimeout, StreamInterrupted
from aimanager_server.core.request import Call, StreamTimeouts
from aimanager_server.core.response import (
    Event,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    ResponseMetadata,
    ResponseStream,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.pipeline.timeouts import Pace, idle_after
from tests.support.calls import END, TARGET, USAGE, WHOLE, call
from tests.support.event_loop import in_virtual_time

PATIENCE = StreamTimeouts(first_token=10.0, text=10.0, tool_call=90.0, reasoning=120.0)


def asked(**facts: Any) -> Call:
    facts = {"deadline": 1000.0, "streaming": True, **facts}
    return call(targets=(replace(TARGET, timeouts=PATIENCE),), **facts)


class Provider:
    """Says each event after its seconds; knows whether it was closed, or cancelled."""

    def __init__(self, *said: tuple[float, Event], begins_after: float = 0.0) -> None:
        self._said = said
        self._begins_after = begins_after
        self.closed = False
        self.cancelled = False

    async def __call__(self, call: Call) -> ResponseStream:
        await self._pause(self._begins_after)
        head = ResponseMetadata(call.id, call.requested_model, call.target.provider, call.target.model)
        return ResponseStream(head, self._events(), self._close, lambda: USAGE)

    async def _events(self) -> AsyncIterator[Event]:
        for seconds, event in self._said:
            await self._pause(seconds)
            yield event

    async def _pause(self, seconds: float) -> None:
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
async def test_a_provider_that_is_silent_until_the_limit_is_left() -> None:
    provider = Provider(begins_after=60.0)

    with pytest.raises(FirstTokenTimeout, match="within 10 seconds"):
        await Pace()(asked(first_token=10.0), provider)

    assert now() == 10.0
    assert provider.cancelled


@in_virtual_time
async def test_without_a_limit_the_first_content_may_take_until_the_deadline() -> None:
    reply = await Pace()(asked(), Provider((0, WHOLE[0]), begins_after=500.0))

    assert now() == 500.0
    await reply.aclose()


@in_virtual_time
async def test_a_limit_beyond_the_deadline_is_left_to_the_deadline() -> None:
    reply = await Pace()(asked(first_token=10.0, deadline=5.0), Provider((0, WHOLE[0]), begins_after=20.0))

    assert now() == 20.0
    await reply.aclose()


@in_virtual_time
async def test_a_stall_in_text_is_noticed_and_says_what_was_spent() -> None:
    provider = Provider((0, TextDelta(0, "Hel")), (60, TextDelta(0, "lo")))
    reply = await Pace()(asked(), provider)

    with pytest.raises(StreamInterrupted, match="No content came for 10 seconds") as raised:
        await reply.result()

    assert now() == 10.0
    assert isinstance(raised.value.__cause__, ProviderTimeout)
    assert raised.value.usage == USAGE
    assert provider.cancelled
    assert provider.closed


@in_virtual_time
async def test_text_that_keeps_coming_slowly_is_no_stall() -> None:
    reply = await Pace()(asked(), Provider(*((9.0, TextDelta(0, "x")) for _ in range(20)), (9.0, END)))

    completion = await reply.result()

    assert completion.finished == END
    assert now() == 189.0


@in_virtual_time
async def test_the_deadline_ends_an_answer_that_has_begun() -> None:
    reply = await Pace()(asked(deadline=12.0), Provider((0, TextDelta(0, "x")), (9, TextDelta(0, "y")), (9, END)))

    with pytest.raises(StreamInterrupted) as raised:
        await reply.result()

    assert now() == 12.0
    assert isinstance(raised.value.__cause__, DeadlineExceeded)


@in_virtual_time
async def test_time_that_the_reader_takes_is_not_the_providers() -> None:
    reply = await Pace()(asked(), Provider((0, TextDelta(0, "x")), (1, TextDelta(0, "y")), (1, END)))

    events = []
    async for event in reply:
        events.append(event)
        await asyncio.sleep(30)

    assert events[-1] == END


@in_virtual_time
async def test_a_cancelled_reader_is_cancelled_and_not_told_of_a_stall() -> None:
    reply = await Pace()(asked(), Provider((0, TextDelta(0, "x")), (60, END)))
    reading = asyncio.ensure_future(reply.result())
    await asyncio.sleep(3)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert now() == 3.0


@in_virtual_time
async def test_a_plain_answer_is_bounded_by_the_deadline_alone() -> None:
    upstream = Provider((0, WHOLE[0]), (300, END))

    completion = await (await Pace()(asked(streaming=False), upstream)).result()

    assert completion.finished == END


@in_virtual_time
async def test_what_the_provider_does_after_the_end_of_its_answer_is_no_stall() -> None:
    class Parting(Provider):
        async def _events(self) -> AsyncIterator[Event]:
            yield END
            await asyncio.sleep(60)

    completion = await (await Pace()(asked(deadline=30.0), Parting())).result()

    assert completion.finished == END


@in_virtual_time
async def test_closing_stops_the_clock() -> None:
    provider = Provider((0, TextDelta(0, "x")), (60, END))
    reply = await Pace()(asked(), provider)
    await anext(aiter(reply))

    await reply.aclose()
    await asyncio.sleep(100)

    assert provider.closed
    assert not provider.cancelled


@pytest.mark.parametrize(
    ("event", "thinks", "seconds"),
    [
        (TextDelta(0, "x"), True, 10.0),
        (ToolCallDelta(0, "", "", "{"), False, 90.0),
        (ReasoningDelta(0, "x"), False, 120.0),
        (ReasoningProgress(), False, 120.0),
        (PartCompleted(0, Text("x")), False, 10.0),
        (PartCompleted(0, Text("x")), True, 120.0),
    ],
)
def test_silence_is_borne_by_what_it_follows(event: Event, thinks: bool, seconds: float) -> None:
    assert idle_after(event, PATIENCE, thinks=thinks) == seconds
