"""Equal calls that use the response cache at the same time: one is generated, stored and paid."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.core.cache_policy import CacheMode, CachePolicy
from aimanager_server.core.errors import ProviderOverloaded
from aimanager_server.core.request import Caller
from aimanager_server.core.response import GenerateResult
from aimanager_server.pipeline.response_cache import ResponseCache
from aimanager_server.resilience.request_coalescing import RequestCoalescer
from aimanager_server.storage.cache_key import CacheKeys
from aimanager_server.storage.memory_responses import MemoryResponses
from tests.support.calls import make_call
from tests.support.coalescing import END, Upstream, delta
from tests.support.event_loop import in_virtual_time, run_ready_tasks
from tests.support.layers import new_metrics
from tests.support.metrics import sample_value

USE, REFRESH = CachePolicy(CacheMode.USE), CachePolicy(CacheMode.REFRESH)


class Cache:
    """The layer in front of an upstream that sends what the test says."""

    def __init__(self) -> None:
        metrics = new_metrics()
        self._registry, counts = metrics.registry, metrics.response_cache
        self.coalescer = RequestCoalescer(counts.coalesced.inc)
        self.store = MemoryResponses(ResponseCacheSettings(), counts, float)
        self.layers = [
            ResponseCache(self.store, CacheKeys(), counts, self.coalescer, float, float) for _ in range(2)
        ]  # fmt: skip
        self.upstream = Upstream()

    def start(self, policy: CachePolicy | None = USE, layer: int = 0, **fields: Any) -> asyncio.Task[GenerateResult]:
        call = make_call(cache_policy=policy, streaming=True, deadline=100.0, **fields)

        async def result() -> GenerateResult:
            return await (await self.layers[layer](call, self.upstream)).result()

        return asyncio.create_task(result())

    def counted(self, result: str) -> float:
        return sample_value(self._registry, "aimanager_response_cache_requests_total", result=result)


async def statuses(*calls: asyncio.Task[GenerateResult]) -> list[str]:
    return [result.metadata.cache_status.value for result in await asyncio.gather(*calls)]


@in_virtual_time
async def test_equal_calls_are_generated_once_and_stored() -> None:
    cache = Cache()
    calls = [cache.start() for _ in range(3)]
    cache.upstream.send(delta(), END)

    assert await statuses(*calls, cache.start()) == ["miss", "coalesced", "coalesced", "coalesced"]
    assert await statuses(cache.start()) == ["hit"]
    assert [cache.counted(result) for result in ("miss", "coalesced", "hit")] == [1, 3, 1]
    assert (cache.coalescer.entries, cache.coalescer.size, cache.store.entries) == (0, 0, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"caller": Caller("bob", "free")},
        {"caller": Caller("ann", "free", {"mock": "a key of her own"})},
        {"text": "Bye"},
        {"policy": REFRESH},
        {"policy": None},
        {"layer": 1},
    ],
    ids=["other caller", "own key", "other text", "refresh", "no policy", "earlier configuration"],
)
@in_virtual_time
async def test_others_are_not_coalesced(other: dict[str, Any]) -> None:
    cache = Cache()
    calls = [cache.start(), cache.start(**other)]
    await run_ready_tasks()

    assert len(cache.upstream.calls) == 2
    cache.upstream.send(delta(), delta(), END, END)
    assert await statuses(*calls) == ["miss", "miss"]


@in_virtual_time
async def test_response_that_all_callers_have_left_is_not_stored() -> None:
    cache = Cache()
    calls = [cache.start() for _ in range(2)]
    cache.upstream.send(delta())
    await run_ready_tasks()

    for call in calls:
        call.cancel()
    await run_ready_tasks()

    assert (cache.upstream.cancelled, cache.store.entries, cache.coalescer.entries) == (1, 0, 0)


@in_virtual_time
async def test_response_is_stored_although_its_first_caller_has_left() -> None:
    cache = Cache()
    first, second = cache.start(), cache.start()
    await run_ready_tasks()

    first.cancel()
    cache.upstream.send(delta(), END)

    assert await statuses(second) == ["coalesced"]
    assert await statuses(cache.start()) == ["hit"]


@in_virtual_time
async def test_failure_is_not_kept_for_later_calls() -> None:
    cache = Cache()
    calls = [cache.start() for _ in range(3)]
    cache.upstream.send(ProviderOverloaded("Full."))
    errors = await asyncio.gather(*calls, return_exceptions=True)

    again = cache.start()
    cache.upstream.send(delta(), END)

    assert [type(error) for error in errors] == [ProviderOverloaded] * 3
    assert await statuses(again) == ["miss"]
