import asyncio
from dataclasses import replace

import pytest

from aimanager_server.config.settings import ProviderTier, Tier
from aimanager_server.core.content import Attachment, Message, Reasoning, Role, Text, Tool, ToolCall, ToolResult
from aimanager_server.core.errors import (
    ProviderCredentialsInvalid,
    ProviderInternalError,
    RateLimited,
    StreamInterrupted,
)
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Call, Target
from aimanager_server.core.response import Finished, FinishReason, ResponseStream, TextDelta
from aimanager_server.pipeline.quota import Limit, estimate_tokens
from aimanager_server.resilience.rate_limiter import Limiter
from tests.support.calls import TARGET, USAGE, FakeClock, Upstream, call
from tests.support.layers import attempting, booked

SPENT = (Finished(FinishReason.STOP, usage=replace(USAGE, input_tokens=60, output_tokens=40)),)


def limit(tokens: int | None = None, **quotas: ProviderTier) -> Limit:
    return Limit({"free": Tier(tokens_per_minute=tokens, providers=quotas)}, Limiter(FakeClock()))


async def ask(layer: Limit, upstream: Upstream | None = None) -> None:
    inside = compose((layer.at_provider,), booked(upstream or Upstream()))
    await (await layer(call(), inside)).result()


async def test_a_tier_that_is_not_defined_has_no_limits() -> None:
    layer = Limit({}, Limiter(FakeClock()))

    for _ in range(100):
        await ask(layer)


async def test_requests_to_one_provider_are_limited() -> None:
    layer = limit(mock=ProviderTier(requests_per_minute=2))
    await ask(layer)
    await ask(layer)

    with pytest.raises(RateLimited) as refused:
        await ask(layer)

    assert refused.value.metadata["quota"] == "mock.requests_per_minute"


async def test_another_providers_quota_is_not_touched() -> None:
    layer = limit(claude=ProviderTier(requests_per_minute=1))

    for _ in range(3):
        await ask(layer)


async def test_tokens_are_settled_with_the_usage() -> None:
    layer = limit(tokens=150)

    await ask(layer, Upstream(SPENT))
    await ask(layer, Upstream(SPENT))

    with pytest.raises(RateLimited, match="Rate limit exceeded"):
        await ask(layer)


async def test_a_failed_call_gives_its_reserve_back() -> None:
    layer = limit(tokens=10)
    for _ in range(50):
        with pytest.raises(ProviderInternalError):
            await layer(call("x" * 39), Upstream(ProviderInternalError("down")))

    await ask(layer)


async def test_a_cancelled_call_gives_its_reserve_back() -> None:
    layer = limit(tokens=10)

    async def cancelled(_call: Call) -> ResponseStream:
        raise asyncio.CancelledError

    for _ in range(3):
        with pytest.raises(asyncio.CancelledError):
            await layer(call("x" * 39), cancelled)


async def test_an_interrupted_answer_is_charged_what_was_used() -> None:
    layer = limit(tokens=100)
    lost = StreamInterrupted("cut")
    lost.usage = replace(USAGE, input_tokens=60, output_tokens=40)

    with pytest.raises(StreamInterrupted):
        await ask(layer, Upstream((TextDelta(0, "Hel"), lost)))

    with pytest.raises(RateLimited):
        await ask(layer)


async def test_a_refusal_by_one_quota_leaves_the_others_as_they_were() -> None:
    layer = limit(tokens=3, mock=ProviderTier(requests_per_minute=1))
    await ask(layer, Upstream((Finished(FinishReason.STOP),)))

    for _ in range(5):
        with pytest.raises(RateLimited) as refused:
            await ask(layer)
        assert refused.value.metadata["quota"] == "mock.requests_per_minute"


async def test_a_provider_that_answers_in_anothers_place_has_its_own_quota() -> None:
    layer = limit(claude=ProviderTier(requests_per_minute=1))
    chain = (TARGET, Target("claude", "claude-opus-5-5"))

    async def first_fails(question: Call) -> ResponseStream:
        if question.target.provider == "mock":
            raise ProviderCredentialsInvalid("refused")
        return await Upstream()(question)

    inside = compose((attempting(FakeClock()), layer.at_provider), booked(first_fails))
    await (await layer(call(targets=chain), inside)).result()

    with pytest.raises(ProviderCredentialsInvalid) as refused:
        await layer(call(targets=chain), inside)

    assert [one.error_reason for one in refused.value.attempts] == ["PROVIDER_CREDENTIALS_INVALID", "RATE_LIMITED"]


async def test_an_answer_whose_usage_nobody_told_counts_as_estimated() -> None:
    layer = limit(tokens=1000)
    silent = Upstream((TextDelta(0, "x" * 4000), Finished(FinishReason.STOP)))

    await ask(layer, silent)

    with pytest.raises(RateLimited):
        await ask(layer, silent)


async def test_a_reply_whose_closing_fails_is_settled_all_the_same() -> None:
    layer = limit(tokens=10)

    async def refuses_to_close() -> None:
        raise OSError("stuck")

    async def unread(question: Call) -> ResponseStream:
        reply = await Upstream()(question)
        return ResponseStream(reply.metadata, aiter(reply), refuses_to_close)

    reply = await layer(call("x" * 39), unread)
    with pytest.raises(OSError, match="stuck"):
        await reply.aclose()

    await ask(layer)


def test_the_estimate_counts_every_text() -> None:
    parts = (
        Text("x" * 8),
        Reasoning("x" * 8),
        ToolCall("1", "f", "x" * 8),
        ToolResult("1", "f", "x" * 8),
        Attachment("image/png", data=b"x" * 100),
    )
    question = replace(
        call(), messages=(Message(Role.USER, parts),), system_instruction="x" * 4, tools=(Tool("f", "", "x" * 4),)
    )

    assert estimate_tokens(question) == 11
