import asyncio
from collections.abc import AsyncIterator

import pytest

from aimanager_server.core.attempts import AttemptUsage
from aimanager_server.core.errors import (
    DeadlineExceeded,
    FirstTokenTimeout,
    GatewayError,
    ProviderInternalError,
    StreamInterrupted,
)
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    ResponseMetadata,
    ResponseStream,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.usage import Cost, Usage, UsageSource
from tests.support.calls import USAGE, WHOLE, Upstream, call, labels
from tests.support.layers import accounting, metering

PRICE = Cost(2_000_000_000, 500_000_000)
WHERE = {"provider": "mock", "model": "mock-large"}
REPORTED, ESTIMATED = UsageSource.REPORTED, UsageSource.ESTIMATED


class World:
    def __init__(self, price: Cost | None = PRICE) -> None:
        self.metrics = metering()
        self.account = accounting(lambda provider, model, usage: price, self.metrics)

    def attempts(self, outcome: str) -> float:
        return labels(self.metrics.registry, "aimanager_attempts_total", **WHERE, outcome=outcome)

    def tokens(self, kind: str) -> float:
        return labels(self.metrics.registry, "aimanager_tokens_total", **WHERE, kind=kind)


class Saying(Upstream):
    """Says that so much was spent so far."""

    def __init__(self, spent: Usage | None, *events: Event | StreamInterrupted) -> None:
        super().__init__(events)
        self._spent = spent

    async def __call__(self, call: Call) -> ResponseStream:
        reply = await super().__call__(call)
        return ResponseStream(reply.metadata, aiter(reply), reply.aclose, lambda: self._spent)


async def test_a_whole_answer_gets_its_price_and_its_entry() -> None:
    world, question = World(), call()

    completion = await (await world.account(question, Upstream())).result()

    assert completion.finished.cost == PRICE
    assert question.usage_ledger.entries == [AttemptUsage("mock", "mock-large", USAGE, PRICE)]
    assert world.attempts("success") == 1
    assert (world.tokens("input"), world.tokens("output")) == (3, 2)


async def test_an_unknown_price_is_no_cost() -> None:
    question = call()

    completion = await (await World(price=None).account(question, Upstream())).result()

    assert completion.finished.cost is None
    assert question.usage_ledger.cost() is None


async def test_a_refusal_took_nothing() -> None:
    world, question = World(), call()

    with pytest.raises(ProviderInternalError):
        await world.account(question, Upstream(ProviderInternalError("down")))

    assert question.usage_ledger.entries == []
    assert world.attempts("PROVIDER_ERROR") == 1


@pytest.mark.parametrize("silence", [FirstTokenTimeout("late"), DeadlineExceeded("late")])
async def test_a_silent_provider_had_the_prompt_all_the_same(silence: GatewayError) -> None:
    world, question = World(), call("x" * 400)

    with pytest.raises(type(silence)):
        await world.account(question, Upstream(silence))

    assert question.usage_ledger.usage() == silence.usage == Usage(input_tokens=101, source=ESTIMATED)
    assert silence.cost == PRICE


async def test_usage_that_nobody_told_is_estimated_for_the_caller_and_the_books_alike() -> None:
    question = call("x" * 400)
    untold = Upstream((TextDelta(0, "t" * 40), Finished(FinishReason.STOP)))

    completion = await (await World().account(question, untold)).result()

    assert completion.finished.usage == question.usage_ledger.usage() == Usage(101, 10, source=ESTIMATED)
    assert completion.finished.cost == PRICE


async def test_what_was_written_before_an_answer_broke_off_is_estimated_and_leaves_with_the_fault() -> None:
    question = call("x" * 400)
    cut = StreamInterrupted("cut")
    pieces = (TextDelta(0, "t" * 30), ToolCallDelta(1, "", "", "a" * 10))

    reply = await World().account(question, Saying(None, *pieces, cut))
    with pytest.raises(StreamInterrupted):
        await reply.result()

    assert cut.usage == Usage(input_tokens=101, output_tokens=10, source=ESTIMATED)
    assert cut.cost == PRICE
    assert question.usage_ledger.entries == [AttemptUsage("mock", "mock-large", cut.usage, PRICE)]


async def test_what_the_provider_told_of_a_broken_answer_is_believed() -> None:
    cut = StreamInterrupted("cut")
    cut.usage = Usage(input_tokens=7, output_tokens=50, source=REPORTED)

    reply = await World().account(call(), Saying(None, TextDelta(0, "word"), cut))
    with pytest.raises(StreamInterrupted):
        await reply.result()

    assert cut.usage == Usage(input_tokens=7, output_tokens=50, source=REPORTED)


async def test_an_answer_that_nobody_wants_any_more_is_booked_once() -> None:
    world, question = World(), call()
    reply = await world.account(question, Saying(Usage(input_tokens=9, source=REPORTED), TextDelta(0, "four"), *WHOLE))
    await anext(aiter(reply))

    await reply.aclose()
    await reply.aclose()

    assert question.usage_ledger.usage() == Usage(input_tokens=9, output_tokens=1, source=ESTIMATED)
    assert world.attempts("CANCELLED") == 1


async def test_closing_a_finished_answer_books_nothing_more() -> None:
    question = call()
    reply = await World().account(question, Upstream())
    await reply.result()

    await reply.aclose()

    assert len(question.usage_ledger.entries) == 1


async def test_a_call_cancelled_before_the_first_content_is_booked_by_its_prompt() -> None:
    world, question = World(), call("x" * 400)

    async def waiting(call: Call) -> ResponseStream:
        await asyncio.Event().wait()
        raise AssertionError

    asking = asyncio.ensure_future(world.account(question, waiting))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert question.usage_ledger.usage() == Usage(input_tokens=101, source=ESTIMATED)
    assert world.attempts("CANCELLED") == 1


async def test_a_reader_cancelled_within_the_answer_is_booked_by_what_was_written() -> None:
    question = call("x" * 400)

    async def events() -> AsyncIterator[Event]:
        yield TextDelta(0, "t" * 40)
        await asyncio.Event().wait()

    async def close() -> None: ...

    async def upstream(call: Call) -> ResponseStream:
        return ResponseStream(ResponseMetadata("1", "", "mock", "mock-large"), events(), close)

    reply = await World().account(question, upstream)
    reading = asyncio.ensure_future(reply.result())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert question.usage_ledger.usage() == Usage(input_tokens=101, output_tokens=10, source=ESTIMATED)
