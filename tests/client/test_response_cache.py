"""`cache` of the Python client, with a server in its process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from aimanager import AIManager, AsyncAIManager, CachePolicy, InvalidRequestError


@pytest.fixture
def ai() -> Iterator[AIManager]:
    with AIManager.embedded(provider="mock") as client:
        yield client


def test_every_kind_of_call_uses_the_cache(ai: AIManager) -> None:
    new = ai.request("Hi", cache="use")
    hit = ai.request("Hi", cache="use")
    with ai.stream("Hi", cache="use") as stream:
        streamed = "".join(stream.text)
    batch = ai.batch(["Hi", "Ho", {"prompt": "Hi", "cache": "off"}], cache="use")
    turn = ai.conversation().request("Hi", cache="use").send()

    assert [new.cache_status, hit.cache_status, stream.response.cache_status] == ["miss", "hit", "hit"]
    assert new.content == hit.content == streamed == turn.content
    assert [each if isinstance(each, Exception) else each.cache_status for each in batch] == ["hit", "miss", "miss"]
    assert turn.cache_status == "hit"


def test_a_hit_says_what_it_saved(ai: AIManager) -> None:
    new, hit = (ai.request("Hi", cache="use") for _ in range(2))

    assert (hit.cost, hit.total_cost, hit.saved_cost, new.saved_cost) == (0, 0, new.cost, None)
    assert (hit.usage.input_tokens, hit.attempts, hit.from_cache, hit.cost_is_exact) == (0, (), True, True)
    metadata = hit.metadata
    assert metadata.generate_time is not None
    assert (datetime.now(UTC) - metadata.generate_time).total_seconds() < 3_600
    assert (metadata.saved_cost, metadata.cache_status, metadata.currency) == (new.cost, "hit", "USD")
    assert new.metadata.generate_time is None


def test_the_client_has_a_default_for_cache() -> None:
    with AIManager.embedded(provider="mock", cache=CachePolicy("use", max_age=60)) as ai:
        by_default = [ai.request("Hi").cache_status for _ in range(2)]
        off, refreshed = ai.request("Hi", cache="off"), ai.request("Hi", cache="refresh")

    assert by_default == ["miss", "hit"]
    assert (off.cache_status, refreshed.cache_status) == ("miss", "miss")


def test_the_asynchronous_client_uses_the_cache() -> None:
    async def statuses() -> list[str]:
        async with AsyncAIManager.embedded(provider="mock") as ai:
            return [(await ai.request("Hi", cache="use")).cache_status for _ in range(2)]

    assert asyncio.run(statuses()) == ["miss", "hit"]


@pytest.mark.parametrize(
    ("cache", "description"),
    [
        ("always", "cache must be one of off, use, refresh, got 'always'"),
        (True, "cache must be one of off, use, refresh, got True"),
        (CachePolicy("refresh", 60), "cache.max_age requires the mode 'use', got 'refresh'"),
        (CachePolicy(max_age=0), "cache.max_age must be a positive number of seconds, got 0"),
    ],
)
def test_an_unusable_policy_is_rejected(ai: AIManager, cache: Any, description: str) -> None:
    with pytest.raises(InvalidRequestError, match=description):
        ai.request("Hi", cache=cache)


def test_hits_are_counted_in_the_usage_of_the_caller(ai: AIManager) -> None:
    new, *hits = (ai.request("Hi", cache="use") for _ in range(3))

    (row,) = ai.metrics.get_summary().rows

    assert (row.requests_total, row.cache_hits, row.fallbacks) == (3, 2, 0)
    assert row.cost_total == new.cost
    assert row.saved_total == 2 * (hits[0].saved_cost or 0)
