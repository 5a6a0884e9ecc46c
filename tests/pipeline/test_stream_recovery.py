from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from aimanager_server.config.resilience import RetrySettings
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.content import Text
from aimanager_server.core.errors import (
    ContentBlocked,
    GatewayError,
    OutputSchemaMismatch,
    ProviderCredentialsInvalid,
    StreamInterrupted,
)
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, Finished, ReasoningProgress, ResponseMetadata, Restarted
from aimanager_server.core.stream import Completed, Outcome, ResponseStream, StreamObserver
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.pipeline.stream_recovery import StreamRecovery
from aimanager_server.resilience.retry_budget import RetryBudgets
from tests.support.calls import TARGET, make_call
from tests.support.clock import FakeClock
from tests.support.layers import new_metrics
from tests.support.metrics import sample_value
from tests.support.stream_recovery import (
    CHAIN,
    DELTA,
    SECOND,
    TOOL_CALL,
    ScriptedTargets,
    collect,
    interruption,
    recovering,
    stream_call,
)
from tests.support.upstream import FINISHED, RESPONSE_EVENTS


async def test_interrupted_unary_response_is_completed_by_the_next_target() -> None:
    targets = ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS)

    result = await (await recovering(targets)(make_call(targets=CHAIN))).result()

    assert result.message.parts == (Text("Hello."),)
    assert (result.metadata.provider, result.metadata.model) == (SECOND.provider, SECOND.model)
    assert [(attempt.provider, attempt.error_reason) for attempt in result.metadata.attempts] == [
        ("mock", "STREAM_INTERRUPTED"),
        ("claude", ""),
    ]
    assert result.metadata.attempts[0].usage == Usage(5, 3, source=UsageSource.ESTIMATED)
    assert targets.calls == [("mock", "claude", "openai"), ("claude", "openai")]


async def test_interrupted_unary_response_is_retried_once_at_the_only_target() -> None:
    targets = ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS)

    result = await (await recovering(targets)(make_call())).result()

    assert result.message.parts == (Text("Hello."),)
    assert targets.calls == [("mock",), ("mock",)]


async def test_second_interruption_at_the_only_target_raises_the_first_with_the_usage_of_both() -> None:
    first, call = interruption(), make_call()
    targets = ScriptedTargets((DELTA, first), (DELTA, interruption()))

    with pytest.raises(StreamInterrupted) as raised:
        await recovering(targets)(call)

    assert raised.value is first
    reported = first.with_attempts(call.attempts)
    assert [attempt.error_reason for attempt in reported.attempts] == ["STREAM_INTERRUPTED", "STREAM_INTERRUPTED"]
    assert reported.usage == Usage(10, 6, source=UsageSource.ESTIMATED)


async def test_interruption_after_max_attempts_is_not_retried() -> None:
    call = make_call()
    for _ in range(2):
        call.attempts.start(*TARGET.key, 0.0).sent_at = 0.0

    with pytest.raises(StreamInterrupted):
        await recovering(ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS))(call)


async def test_recovery_at_the_same_target_spends_the_retry_budget() -> None:
    cut = (DELTA, interruption())
    handle = recovering(ScriptedTargets(cut, RESPONSE_EVENTS, cut, RESPONSE_EVENTS), budget_burst=1)
    await handle(make_call())

    with pytest.raises(StreamInterrupted):
        await handle(make_call())


async def test_content_policy_interruption_has_no_fallback() -> None:
    targets = ScriptedTargets((DELTA, interruption(ContentBlocked("no"))), RESPONSE_EVENTS)

    with pytest.raises(StreamInterrupted):
        await recovering(targets)(make_call(targets=CHAIN))

    assert len(targets.calls) == 1


async def test_error_before_first_content_passes_unchanged() -> None:
    rejection, call = ProviderCredentialsInvalid("rejection"), make_call(targets=CHAIN)

    with pytest.raises(ProviderCredentialsInvalid) as raised:
        await recovering(ScriptedTargets(rejection))(call)

    assert raised.value is rejection
    assert len(call.attempts.records) == 1


async def test_unary_response_keeps_its_time_to_first_token() -> None:
    clock = FakeClock()

    class Slow(ScriptedTargets):
        async def __call__(self, call: Call) -> ResponseStream:
            clock.advance(2)
            return await super().__call__(call)

        async def _events(
            self, record: AttemptRecord, script: tuple[Event | GatewayError, ...]
        ) -> AsyncIterator[Event]:
            clock.advance(5)
            async for event in super()._events(record, script):
                yield event

    whole = (DELTA, *RESPONSE_EVENTS[1:])
    response = await recovering(Slow(whole), clock)(make_call())
    repeated = await recovering(Slow((DELTA, interruption()), whole), clock)(make_call())

    assert response.metadata.time_to_first_token == 2
    assert (await response.result()).finished == FINISHED
    assert repeated.metadata.time_to_first_token == 2 + 5 + 2


async def test_other_error_after_a_restart_raises_the_first_error_with_the_attempts_of_both() -> None:
    call = stream_call()
    targets = ScriptedTargets((DELTA, interruption()), (DELTA, OutputSchemaMismatch("missed")))
    response = await recovering(targets)(call)

    with pytest.raises(StreamInterrupted) as raised:
        await collect(response)

    assert isinstance(raised.value.__cause__, OutputSchemaMismatch)
    reported = raised.value.with_attempts(call.attempts)
    assert [attempt.error_reason for attempt in reported.attempts] == ["STREAM_INTERRUPTED", "OUTPUT_SCHEMA_MISMATCH"]
    assert reported.usage == Usage(5, 3, source=UsageSource.ESTIMATED)


async def test_interrupted_stream_fails_without_restart_on_interruption() -> None:
    call, cut = stream_call(restart_on_interruption=False), interruption()
    response = await recovering(ScriptedTargets((DELTA, cut), RESPONSE_EVENTS))(call)
    seen: list[Event] = []

    async def read() -> None:
        async for event in response:
            seen.append(event)

    with pytest.raises(StreamInterrupted) as raised:
        await read()

    assert seen == [DELTA]
    assert raised.value is cut
    assert [attempt.error_reason for attempt in call.attempts.records] == ["STREAM_INTERRUPTED"]


async def test_stream_with_visible_content_that_may_not_restart_is_passed_as_it_is() -> None:
    finished = ResponseStream.of(ResponseMetadata("call-1", "", *TARGET.key), list(RESPONSE_EVENTS))

    async def respond(_: Call) -> ResponseStream:
        return finished

    layer = StreamRecovery(RetrySettings(), RetryBudgets(RetrySettings(), FakeClock()), new_metrics(), FakeClock())

    assert await layer(stream_call(restart_on_interruption=False), respond) is finished


@pytest.mark.parametrize(
    ("restart_on_interruption", "outcomes"),
    [(True, {"restarted": 1.0, "failed": 0.0}), (False, {"restarted": 0.0, "failed": 1.0})],
)
@pytest.mark.parametrize("first", [DELTA, ReasoningProgress()])
async def test_interruptions_are_counted_by_their_outcome(
    restart_on_interruption: bool, outcomes: dict[str, float], first: Event
) -> None:
    metrics, call = new_metrics(), stream_call(restart_on_interruption=restart_on_interruption)
    targets = ScriptedTargets((first, DELTA, interruption()), RESPONSE_EVENTS)
    response = await recovering(targets, metrics=metrics)(call)

    with suppress(StreamInterrupted):
        await collect(response)

    counted = {
        outcome: sample_value(
            metrics.registry, "aimanager_stream_interruptions_total", provider="mock", model="mock-large",
            outcome=outcome,
        )
        for outcome in outcomes
    }  # fmt: skip
    assert counted == outcomes


async def test_interrupted_stream_restarts_with_restart_on_interruption() -> None:
    response = await recovering(ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS))(stream_call())

    first, restarted, *rest = await collect(response)

    assert first == DELTA
    assert isinstance(restarted, Restarted)
    assert restarted.metadata.provider == SECOND.provider
    assert [attempt.error_reason for attempt in restarted.metadata.attempts] == ["STREAM_INTERRUPTED", ""]
    assert response.metadata.provider == TARGET.provider
    assert tuple(rest) == RESPONSE_EVENTS


async def test_stream_restarts_repeatedly_while_targets_remain() -> None:
    targets = ScriptedTargets((DELTA, interruption()), (DELTA, interruption()), RESPONSE_EVENTS)

    events = await collect(await recovering(targets)(stream_call()))

    assert sum(isinstance(event, Restarted) for event in events) == 2
    assert targets.calls[-1] == ("openai",)


async def test_stream_with_a_completed_tool_call_does_not_restart() -> None:
    targets = ScriptedTargets((TOOL_CALL, interruption()), RESPONSE_EVENTS)
    response = await recovering(targets)(stream_call())

    with pytest.raises(StreamInterrupted):
        await collect(response)

    assert len(targets.calls) == 1


async def test_failed_restart_raises_the_first_error_with_all_attempts() -> None:
    call = stream_call()
    response = await recovering(ScriptedTargets((DELTA, interruption()), ProviderCredentialsInvalid("rejected")))(call)

    with pytest.raises(StreamInterrupted):
        await collect(response)

    reasons = [attempt.error_reason for attempt in call.attempts.records]
    assert reasons == ["STREAM_INTERRUPTED", "PROVIDER_CREDENTIALS_INVALID"]


async def test_restart_during_hidden_reasoning_is_invisible() -> None:
    targets = ScriptedTargets((ReasoningProgress(), ReasoningProgress(), interruption()), RESPONSE_EVENTS)

    events = await collect(await recovering(targets)(stream_call(restart_on_interruption=False)))

    assert tuple(events) == RESPONSE_EVENTS
    assert len(targets.calls) == 2


async def test_reasoning_progress_is_dropped() -> None:
    events = await collect(
        await recovering(ScriptedTargets((ReasoningProgress(), DELTA, ReasoningProgress(), *RESPONSE_EVENTS[1:])))(
            stream_call()
        )
    )

    assert tuple(events) == (DELTA, *RESPONSE_EVENTS[1:])


async def test_restart_begins_in_the_batch_that_announces_it() -> None:
    response = await recovering(ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS))(stream_call())

    batches = []
    while batch := await response.read():
        batches.append([type(event) for event in batch])

    assert batches[0] == [type(DELTA)]
    assert batches[1] == [Restarted, type(RESPONSE_EVENTS[0])]
    assert batches[-1] == [Finished]


async def test_observers_see_every_response_and_one_end() -> None:
    class Observer(StreamObserver):
        def __init__(self) -> None:
            self.events: list[Event] = []
            self.outcomes: list[Outcome] = []

        def on_events(self, events: list[Event]) -> None:
            self.events += events

        def on_end(self, outcome: Outcome) -> None:
            self.outcomes.append(outcome)

    observer = Observer()
    response = await recovering(ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS))(stream_call())

    events = await collect(response.observed_by(observer))

    assert observer.events == events
    assert observer.outcomes == [Completed(FINISHED)]


async def test_closing_a_stream_closes_the_current_response() -> None:
    targets = ScriptedTargets((DELTA, interruption()), RESPONSE_EVENTS)
    response = await recovering(targets)(stream_call())
    events = aiter(response)
    while not isinstance(await anext(events), Restarted):
        pass

    await response.aclose()

    assert targets.closed == [TARGET.provider, SECOND.provider]
