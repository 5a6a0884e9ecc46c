import asyncio
from typing import Any

import pytest

from aimanager_server.core.errors import DeadlineExceeded, InvalidRequest, ProviderInternalError, StreamInterrupted
from aimanager_server.core.request import Call, Caller
from aimanager_server.core.response import ResponseStream, TextDelta
from aimanager_server.pipeline.idempotency import Repeat
from aimanager_server.resilience.idempotency_store import Answers
from tests.support.calls import WHOLE, FakeClock, Upstream, call, settle


def repeat(clock: FakeClock | None = None) -> Repeat:
    return Repeat(Answers(10, 10**6, 3600, clock or FakeClock()))


def asked(text: str = "Hi", **facts: Any) -> Call:
    facts.setdefault("deadline", 1e9)
    return call(text, idempotency_key="once", **facts)


async def test_a_repeat_gets_the_first_answer_and_says_so() -> None:
    layer, upstream = repeat(), Upstream()
    first = await (await layer(asked(), upstream)).result()

    second = await (await layer(asked(), upstream)).result()

    assert len(upstream.calls) == 1
    assert (first.metadata.from_cache, second.metadata.from_cache) == (False, True)
    assert (second.message, second.finished) == (first.message, first.finished)


async def test_without_a_key_every_call_is_new() -> None:
    layer, upstream = repeat(), Upstream()

    for _ in range(2):
        await (await layer(call(), upstream)).result()

    assert len(upstream.calls) == 2


async def test_another_callers_same_key_is_another_key() -> None:
    layer, upstream = repeat(), Upstream()

    for caller in (Caller("ann"), Caller("bob"), Caller("ann", provider_keys={"mock": "k"})):
        await (await layer(asked(caller=caller), upstream)).result()

    assert len(upstream.calls) == 3


async def test_the_same_key_for_another_question_is_refused() -> None:
    layer, upstream = repeat(), Upstream()
    await (await layer(asked("Hi"), upstream)).result()

    with pytest.raises(InvalidRequest, match="'once' was used for another question") as refused:
        await layer(asked("Ho"), upstream)

    assert refused.value.violations[0].field == "idempotency_key"


async def test_a_failure_is_not_remembered() -> None:
    layer, upstream = repeat(), Upstream(ProviderInternalError("down"), WHOLE)
    with pytest.raises(ProviderInternalError):
        await layer(asked(), upstream)

    reply = await layer(asked(), upstream)

    assert (await reply.result()).metadata.from_cache is False


async def test_an_interrupted_answer_is_not_remembered() -> None:
    layer, upstream = repeat(), Upstream((TextDelta(0, "Hel"), StreamInterrupted("cut")), WHOLE)
    with pytest.raises(StreamInterrupted):
        await (await layer(asked(), upstream)).result()

    await (await layer(asked(), upstream)).result()

    assert len(upstream.calls) == 2


async def test_a_repeat_during_the_first_call_waits_for_its_answer() -> None:
    layer, upstream, gate = repeat(), Upstream(), asyncio.Event()

    async def slow(question: Call) -> ResponseStream:
        await gate.wait()
        return await upstream(question)

    async def whole() -> bool:
        return (await (await layer(asked(), slow)).result()).metadata.from_cache

    both = [asyncio.create_task(whole()) for _ in range(2)]
    await settle()
    gate.set()

    assert await asyncio.gather(*both) == [False, True]
    assert len(upstream.calls) == 1


async def test_a_repeat_takes_over_when_the_first_caller_goes_away() -> None:
    layer, upstream = repeat(), Upstream()
    first = await layer(asked(), upstream)
    second = asyncio.create_task(layer(asked(), upstream))
    await settle()
    assert not second.done()

    await first.aclose()

    assert (await second).metadata.from_cache is False
    assert (len(upstream.calls), upstream.closed) == (2, 1)


async def test_a_repeat_waits_no_longer_than_its_deadline() -> None:
    layer, upstream = repeat(), Upstream()
    first = await layer(asked(), upstream)

    with pytest.raises(DeadlineExceeded):
        await layer(asked(deadline=asyncio.get_running_loop().time()), upstream)

    await first.aclose()
