"""The response cache: what is stored, what a hit is like, and that its store never fails a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from aimanager_server.config.response_cache import ResponseCacheSettings
from aimanager_server.core.cache_policy import CacheMode, CachePolicy
from aimanager_server.core.content import Artifact, Attachment, Part, Reasoning, Text, ToolCall
from aimanager_server.core.conversation import ConversationTurn
from aimanager_server.core.errors import GatewayError, StorageUnavailable, StreamInterrupted
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import (
    ArtifactExtracted,
    CacheStatus,
    Event,
    Finished,
    FinishReason,
    GenerateResult,
    PartCompleted,
    ReasoningDelta,
    ResponseMetadata,
    Restarted,
    SettingWarning,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Cost, Usage, UsageSource
from aimanager_server.pipeline.response_cache import BYPASS_SECONDS, ResponseCache
from aimanager_server.pipeline.response_replay import DELTA_CHARACTERS
from aimanager_server.resilience.request_coalescing import RequestCoalescer
from aimanager_server.storage.cache_key import CacheKey, CacheKeys
from aimanager_server.storage.memory_responses import MemoryResponses
from aimanager_server.storage.response_cache import CachedResponse, ResponseStore
from tests.support.calls import TARGET, make_call
from tests.support.clock import FakeClock
from tests.support.layers import new_metrics
from tests.support.metrics import sample_value
from tests.support.upstream import FINISHED, RESPONSE_EVENTS, ScriptedUpstream

USE, REFRESH = CachePolicy(CacheMode.USE), CachePolicy(CacheMode.REFRESH)
OTHER = Target("mock", "mock-small")
COST = Cost(300, 400)
CHANGED = SettingWarning("sampling.top_k", "was removed")


class Cache:
    """The layer over a store, with an upstream below it."""

    def __init__(
        self,
        *outcomes: GatewayError | tuple[Event | GatewayError, ...],
        store: ResponseStore | None = None,
        **settings: Any,
    ) -> None:
        self.clock, self.metrics = FakeClock(), new_metrics()
        self.upstream = ScriptedUpstream(*outcomes)
        counts = self.metrics.response_cache
        self.store = store or MemoryResponses(ResponseCacheSettings(), counts, self.clock)
        self.layer = ResponseCache(
            self.store, CacheKeys(), counts, RequestCoalescer(counts.coalesced.inc), self.clock, self.clock, **settings
        )

    async def stream(self, text: str = "Hi", policy: CachePolicy | None = USE, **fields: Any) -> ResponseStream:
        fields.setdefault("deadline", 1e9)  # on the clock of the event loop
        return await self.layer(make_call(text, cache_policy=policy, **fields), self.upstream)

    async def call(self, text: str = "Hi", policy: CachePolicy | None = USE, **fields: Any) -> GenerateResult:
        return await (await self.stream(text, policy, **fields)).result()

    async def statuses(self, *calls: dict[str, Any]) -> list[str]:
        return [(await self.call(**fields)).metadata.cache_status.value for fields in calls]

    @property
    def requests(self) -> int:
        return len(self.upstream.requests)

    def counted(self, result: str) -> float:
        return sample_value(self.metrics.registry, "aimanager_response_cache_requests_total", result=result)


class Unavailable:
    """A store that cannot be reached."""

    entries = size = reads = writes = 0

    def reconfigure(self, settings: ResponseCacheSettings) -> None: ...

    async def find(self, key: CacheKey) -> CachedResponse | None:
        self.reads += 1
        raise StorageUnavailable("gone")

    def put(self, key: CacheKey, response: CachedResponse) -> None:
        self.writes += 1

    async def forget(self, conversation_id: str) -> None: ...

    async def delete_expired(self) -> None: ...

    async def aclose(self) -> None: ...


def ending(reason: FinishReason = FinishReason.STOP, *parts: Part) -> tuple[Event, ...]:
    usage = Usage(3, 2, source=UsageSource.REPORTED)
    completed = [PartCompleted(index, part) for index, part in enumerate(parts or (Text("Hello."),))]
    return *completed, Finished(reason, "end", usage, COST, structured_json="{}")


async def test_an_equal_request_gets_the_stored_response_for_nothing() -> None:
    cache = Cache(ending())
    first = await cache.call()
    cache.clock.advance(7)

    second = await cache.call(requested_model="mock/mock-large")

    assert cache.requests == 1
    assert (first.metadata.cache_status, second.metadata.cache_status) == (CacheStatus.MISS, CacheStatus.HIT)
    assert (second.message, second.finished.structured_json) == (first.message, "{}")
    assert second.finished.usage == Usage(source=UsageSource.REPORTED)
    assert second.finished.cost == Cost(0, 0, estimated=False)
    metadata = second.metadata
    assert (metadata.saved_cost, metadata.generated_at, metadata.attempts) == (COST, cache.clock() - 7, ())
    assert metadata.requested_model == "mock/mock-large"
    assert (cache.counted("hit"), cache.counted("miss")) == (1, 1)


async def test_only_calls_that_use_the_cache_read_and_fill_it() -> None:
    cache = Cache()

    statuses = await cache.statuses({"policy": None}, {}, {"policy": None}, {}, {"text": "Ho"}, {"policy": REFRESH}, {})

    assert statuses == ["miss", "miss", "miss", "hit", "miss", "miss", "hit"]
    assert cache.counted("refresh") == 1


async def test_a_refreshed_response_replaces_the_stored_one() -> None:
    cache = Cache(ending(FinishReason.STOP, Text("old")), ending(FinishReason.STOP, Text("new")))

    texts = [(await cache.call(policy=policy)).message.parts for policy in (USE, REFRESH, USE)]

    assert texts == [(Text("old"),), (Text("new"),), (Text("new"),)]


async def test_a_request_says_how_old_a_response_may_be() -> None:
    cache, young = Cache(), CachePolicy(CacheMode.USE, 10.0)
    await cache.call()
    cache.clock.advance(10)
    at_the_limit = await cache.statuses({"policy": young})
    cache.clock.advance(1)

    assert at_the_limit == ["hit"]
    assert await cache.statuses({"policy": young}, {"policy": young}) == ["miss", "hit"]


async def test_no_two_owners_share_a_response() -> None:
    cache = Cache()
    owners = [
        Caller("ann"), Caller("bob"), Caller("ann", provider_keys={"mock": "1"}), Caller(provider_keys={"mock": "1"}),
        Caller("ann", provider_keys={"mock": "2"}), Caller("root", is_admin=True), Caller(is_admin=True),
    ]  # fmt: skip

    first = await cache.statuses(*({"caller": owner} for owner in owners))
    again = await cache.statuses(*({"caller": owner} for owner in owners))

    assert first == ["miss"] * len(owners)
    assert again == ["hit"] * len(owners)


@pytest.mark.parametrize("reason", FinishReason)
async def test_only_whole_responses_are_stored(reason: FinishReason) -> None:
    cache = Cache(ending(reason))
    whole = {FinishReason.STOP, FinishReason.TOOL_CALLS}

    assert await cache.statuses({}, {}) == ["miss", "hit" if reason in whole else "miss"]


RESTART = Restarted(ResponseMetadata("call-1", "mock/latest", *TARGET.key))


@pytest.mark.parametrize(
    "events",
    [(TextDelta(0, "Hel"), RESTART, *RESPONSE_EVENTS), (FINISHED,)],
    ids=["restarted", "empty"],
)
async def test_restarted_and_empty_responses_are_not_stored(events: tuple[Event, ...]) -> None:
    assert await Cache(events).statuses({}, {}) == ["miss", "miss"]


async def test_interrupted_and_failed_responses_are_not_stored() -> None:
    cache = Cache((TextDelta(0, "Hel"), StreamInterrupted("cut")), RESPONSE_EVENTS)
    with pytest.raises(StreamInterrupted):
        await cache.call()

    assert await cache.statuses({}) == ["miss"]


async def test_the_response_of_a_fallback_is_not_stored() -> None:
    cache = Cache()

    async def fall_back(call: Call) -> ResponseStream:
        return await cache.upstream(call.with_targets(OTHER))

    call = make_call(targets=(TARGET, OTHER), cache_policy=USE, deadline=1e9)
    await (await cache.layer(call, fall_back)).result()

    assert await cache.statuses({"targets": (TARGET, OTHER)}, {"targets": (OTHER, TARGET)}) == ["miss", "hit"]


async def test_warnings_are_those_of_this_request_and_of_the_generation() -> None:
    cache, trimmed = Cache(), SettingWarning("conversation_id", "2 turns were left out")

    async def trim(call: Call) -> ResponseStream:
        stream = await cache.upstream(call)
        stream.metadata.warnings += (trimmed,)
        return stream

    first = make_call(targets=(replace(TARGET, warnings=(CHANGED,)),), cache_policy=USE, deadline=1e9)
    await (await cache.layer(first, trim)).result()

    assert (await cache.call()).metadata.warnings == (trimmed,)
    assert (await cache.call(targets=first.targets)).metadata.warnings == (CHANGED, trimmed)


async def test_a_hit_is_read_as_a_stream() -> None:
    text, arguments = "word " * 300, '{"a": "' + "b" * 600 + '"}'
    parts = (Reasoning("Hm"), Text(text), Attachment("image/png", data=b"png"), ToolCall("t", "look", arguments))
    artifact = ArtifactExtracted(Artifact("a", "b", "text/plain", text="c"))
    *completed, finished = ending(FinishReason.TOOL_CALLS, *parts)
    cache = Cache((*completed, artifact, finished))
    await cache.call()

    stream = await cache.stream(streaming=True)
    batches: list[Sequence[Event]] = []
    while events := await stream.read():
        batches.append(events)

    deltas = [event for batch in batches for event in batch if isinstance(event, TextDelta)]
    assert "".join(delta.text for delta in deltas) == text
    assert max(len(delta.text) for delta in deltas) == DELTA_CHARACTERS
    calls = [event for batch in batches for event in batch if isinstance(event, ToolCallDelta)]
    assert (calls[0].id, calls[0].name, "".join(call.arguments_json for call in calls)) == ("t", "look", arguments)
    assert batches[0] == [ReasoningDelta(0, "Hm")]
    assert [event.part for batch in batches for event in batch if isinstance(event, PartCompleted)] == [*parts]
    assert batches[-1][0] == artifact
    assert {len(batch) for batch in batches[:-1]} == {1}


async def test_a_reader_that_leaves_a_replay_costs_nothing_more() -> None:
    cache = Cache(ending(FinishReason.STOP, Text("x" * 10_000)))
    await cache.call()
    stream = await cache.stream(streaming=True)
    assert stream.usage_so_far() == Usage(source=UsageSource.REPORTED)

    await stream.read()
    await stream.aclose()

    assert await stream.read() == []


async def test_surrogate_pairs_are_not_split_between_deltas() -> None:
    pair = chr(0xD83D) + chr(0xDE00)
    cache = Cache(ending(FinishReason.STOP, Text("x" * (DELTA_CHARACTERS - 1) + pair + "y")))
    await cache.call()

    stream = await cache.stream(streaming=True)

    assert [event.text[-2:] for event in await stream.read() if isinstance(event, TextDelta)] == [pair]


async def test_a_store_that_fails_fails_no_call_and_is_left_out_for_a_while() -> None:
    store = Unavailable()
    cache = Cache(store=store)

    statuses = await cache.statuses({}, {}, {"text": "Ho"})
    reads_at_first = store.reads
    cache.clock.advance(BYPASS_SECONDS)
    await cache.call()

    assert statuses == ["miss"] * 3
    assert (reads_at_first, store.reads, store.writes) == (1, 2, 4)
    assert sample_value(cache.metrics.registry, "aimanager_response_cache_failures_total", operation="read") == 2


async def test_responses_of_conversations_are_stored_only_where_they_can_be_deleted() -> None:
    turn = ConversationTurn("conv_1", 0, 0)
    kept, not_kept = Cache(), Cache(keeps_conversations=False)

    assert await kept.statuses({"turn": turn}, {"turn": turn}, {}) == ["miss", "hit", "hit"]
    assert await not_kept.statuses({"turn": turn}, {"turn": turn}, {}, {"turn": turn}) == [
        "miss",
        "miss",
        "miss",
        "hit",
    ]
    await kept.store.forget("conv_1")
    assert await kept.statuses({}) == ["miss"]


async def test_a_response_without_a_known_price_saves_an_unknown_cost() -> None:
    cache = Cache(RESPONSE_EVENTS)
    await cache.call()

    hit = await cache.call()

    assert hit.metadata.saved_cost is None
    assert hit.finished.cost == Cost(0, 0, estimated=False)


async def test_many_distinct_prompts_stay_within_the_limits_and_spare_other_callers() -> None:
    cache = Cache()
    await cache.call("mine", caller=Caller("bob"))

    for number in range(1_500):
        await cache.call(str(number))

    assert cache.store.entries == 1_000
    assert await cache.statuses({"text": "mine", "caller": Caller("bob")}, {"text": "1499"}, {"text": "0"}) == [
        "hit",
        "hit",
        "miss",
    ]
