import asyncio
from typing import Any

import pytest

from aimanager_server.config.resilience import IdempotencySettings
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import JsonObjectFormat, Text
from aimanager_server.core.errors import DeadlineExceeded, InvalidRequest, ProviderInternalError, StreamInterrupted
from aimanager_server.core.handler import compose
from aimanager_server.core.request import Attempt, Call, Caller
from aimanager_server.core.response import (
    CacheStatus,
    Event,
    PartCompleted,
    ResponseMetadata,
    Restarted,
    TextDelta,
)
from aimanager_server.core.stream import ResponseStream, StreamObserver
from aimanager_server.pipeline.idempotency import Idempotency
from aimanager_server.pipeline.structured_output import EnforceOutputFormat
from aimanager_server.storage.memory_idempotency import MemoryIdempotency
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.event_loop import run_ready_tasks
from tests.support.layers import new_metrics, single_attempt, telemetry_layer
from tests.support.structured_output import run_at_once
from tests.support.upstream import FINISHED, RESPONSE_EVENTS, ScriptedUpstream


class RemoveText(StreamObserver):
    """Replaces all text, as a layer further out might."""

    def on_events(self, events: list[Event]) -> None:
        events[:] = [PartCompleted(0, Text("")) if isinstance(event, PartCompleted) else event for event in events]


def idempotency(clock: FakeClock | None = None) -> Idempotency:
    return Idempotency(MemoryIdempotency(IdempotencySettings(), clock or FakeClock()))


def keyed_call(text: str = "Hi", **fields: Any) -> Call:
    fields.setdefault("deadline", 1e9)
    return make_call(text, idempotency_key="once", **fields)


async def test_repeated_key_replays_the_first_response() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()
    first = await (await layer(keyed_call(), upstream)).result()

    second = await (await layer(keyed_call(), upstream)).result()

    assert len(upstream.requests) == 1
    assert (first.metadata.cache_status, second.metadata.cache_status) == (
        CacheStatus.MISS,
        CacheStatus.IDEMPOTENT_REPLAY,
    )
    assert (second.message, second.finished) == (first.message, first.finished)


async def test_calls_without_key_are_independent() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()

    for _ in range(2):
        await (await layer(make_call(), upstream)).result()

    assert len(upstream.requests) == 2


async def test_keys_are_scoped_to_the_caller() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()

    for caller in (Caller("ann"), Caller("bob"), Caller("ann", provider_keys={"mock": "k"})):
        await (await layer(keyed_call(caller=caller), upstream)).result()

    assert len(upstream.requests) == 3


async def test_key_reused_for_a_different_request_is_rejected() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()
    await (await layer(keyed_call("Hi"), upstream)).result()

    with pytest.raises(InvalidRequest, match="'once' was already used for a different request") as raised:
        await layer(keyed_call("Ho"), upstream)

    assert raised.value.violations[0].field == "idempotency_key"


async def test_error_is_not_stored() -> None:
    layer, upstream = idempotency(), ScriptedUpstream(ProviderInternalError("down"), RESPONSE_EVENTS)
    with pytest.raises(ProviderInternalError):
        await layer(keyed_call(), upstream)

    response = await layer(keyed_call(), upstream)

    assert (await response.result()).metadata.cache_status is CacheStatus.MISS


async def test_interrupted_response_is_not_stored() -> None:
    layer, upstream = idempotency(), ScriptedUpstream((TextDelta(0, "Hel"), StreamInterrupted("cut")), RESPONSE_EVENTS)
    with pytest.raises(StreamInterrupted):
        await (await layer(keyed_call(), upstream)).result()

    await (await layer(keyed_call(), upstream)).result()

    assert len(upstream.requests) == 2


async def test_repeat_waits_while_the_first_call_is_in_flight() -> None:
    layer, upstream, released = idempotency(), ScriptedUpstream(), asyncio.Event()

    async def slow(request: Call) -> ResponseStream:
        await released.wait()
        return await upstream(request)

    async def cache_status() -> CacheStatus:
        return (await (await layer(keyed_call(), slow)).result()).metadata.cache_status

    both = [asyncio.create_task(cache_status()) for _ in range(2)]
    await run_ready_tasks()
    released.set()

    assert await asyncio.gather(*both) == [CacheStatus.MISS, CacheStatus.IDEMPOTENT_REPLAY]
    assert len(upstream.requests) == 1


async def test_repeat_is_sent_when_the_first_call_is_cancelled() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()
    first = await layer(keyed_call(), upstream)
    second = asyncio.ensure_future(layer(keyed_call(), upstream))
    await run_ready_tasks()
    assert not second.done()

    await first.aclose()

    assert (await second).metadata.cache_status is CacheStatus.MISS
    assert (len(upstream.requests), upstream.closed) == (2, 1)


async def test_waiting_repeat_ends_at_its_deadline() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()
    first = await layer(keyed_call(), upstream)

    with pytest.raises(DeadlineExceeded):
        await layer(keyed_call(deadline=asyncio.get_running_loop().time()), upstream)

    await first.aclose()


async def test_repeat_waits_until_the_first_response_has_ended() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()
    stream = await layer(keyed_call(), upstream)
    repeats: list[asyncio.Task[ResponseStream]] = []

    async def repeat(events: list[Event]) -> None:
        repeats.append(asyncio.ensure_future(layer(keyed_call(), upstream)))
        await run_ready_tasks()
        assert not repeats[0].done()

    await stream.finalized_by(repeat).result()

    assert (await repeats[0]).metadata.cache_status is CacheStatus.IDEMPOTENT_REPLAY
    assert len(upstream.requests) == 1


async def test_bug_releases_the_key() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()

    async def failing(_call: Call) -> ResponseStream:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await layer(keyed_call(), failing)

    assert await asyncio.wait_for(layer(keyed_call(), upstream), 5.0)


async def test_response_changed_by_an_outer_layer_is_stored_as_received() -> None:
    layer, upstream = idempotency(), ScriptedUpstream()
    stream = await layer(keyed_call(), upstream)
    await stream.observed_by(RemoveText()).result()

    replayed = await (await layer(keyed_call(), upstream)).result()

    assert replayed.message.parts == (Text("Hello."),)


async def test_replay_reports_its_own_time_to_first_token() -> None:
    clock = FakeClock()
    telemetry, upstream = telemetry_layer(new_metrics(), clock), ScriptedUpstream()

    async def slow(call: Call) -> ResponseStream:
        clock.advance(3)
        return await upstream(call)

    handler = compose((telemetry, idempotency()), slow)
    first = await (await handler(keyed_call(streaming=True))).result()
    second = await (await handler(keyed_call(streaming=True))).result()

    assert (first.metadata.time_to_first_token, second.metadata.time_to_first_token) == (3, 0)
    assert (first.finished.latency, second.finished.latency) == (3, 0)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_stored_response_keeps_the_attempts_made_until_its_end(is_restarted: bool) -> None:
    layer, records = idempotency(), [AttemptRecord("mock", "mock-large", 1000.0)]
    metadata = ResponseMetadata("call-1", "mock/latest", "mock", "mock-large", attempts=records)
    restart: list[Event] = [Restarted(metadata)] if is_restarted else []

    async def upstream(call: Call) -> ResponseStream:
        return ResponseStream.of(metadata, [*restart, *RESPONSE_EVENTS])

    await (await layer(keyed_call(), upstream)).result()
    records.append(AttemptRecord("mock", "mock-large", 1001.0))

    assert len((await layer(keyed_call(), upstream)).metadata.attempts) == 1


async def test_validated_json_of_a_stream_is_replayed() -> None:
    layer, json_text = idempotency(), '{"name": "Ann"}'
    answer: tuple[Event, ...] = (TextDelta(0, json_text), PartCompleted(0, Text(json_text)), FINISHED)
    upstream = ScriptedUpstream(answer)
    structured = EnforceOutputFormat(FakeClock(), run_at_once)

    async def native_json(attempt: Attempt[Any]) -> ResponseStream:
        attempt.sent = attempt
        return await upstream(attempt)

    handler = compose((layer,), single_attempt(compose((structured,), native_json)))
    call = keyed_call(streaming=True, output_format=JsonObjectFormat())
    first = await (await handler(call)).result()
    replayed = await (await handler(call)).result()

    assert len(upstream.requests) == 1
    assert first.finished.structured_json == replayed.finished.structured_json == json_text
