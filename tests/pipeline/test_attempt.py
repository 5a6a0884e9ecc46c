import pytest

from aimanager_server import errors
from aimanager_server.call import Target
from aimanager_server.fault import Fault, every
from aimanager_server.pipeline.attempt import Attempt, GiveUp, Next, Policy, Retry, decide
from questions import TARGET, WHOLE, FakeClock, Upstream, call

OTHER = Target("claude", "claude-opus-5-5")


def attempt(clock: FakeClock, random: float = 1.0, policy: Policy | None = None) -> Attempt:
    return Attempt(policy or Policy(), clock, clock.pause, lambda: random)


def fault(kind: type[Fault], retry_after: float | None = None) -> Fault:
    return kind("failed", retry_after=retry_after)


async def test_a_failure_before_the_first_content_is_tried_again() -> None:
    clock, upstream = FakeClock(), Upstream(fault(errors.ProviderOverloaded), WHOLE)

    reply = await attempt(clock)(call(), upstream)

    assert [one.reason for one in reply.head.attempts] == ["PROVIDER_OVERLOADED", ""]
    assert (await reply.completion()).message.parts


async def test_a_target_is_asked_at_most_three_times_and_the_first_fault_is_told() -> None:
    clock = FakeClock()
    first = fault(errors.ProviderOverloaded)
    upstream = Upstream(first, fault(errors.ProviderFailed))

    with pytest.raises(errors.ProviderOverloaded) as raised:
        await attempt(clock)(call(), upstream)

    assert raised.value is first
    assert [one.reason for one in first.attempts] == ["PROVIDER_OVERLOADED", "PROVIDER_ERROR", "PROVIDER_ERROR"]
    assert clock.pauses == [0.25, 0.5]


async def test_pauses_count_as_waiting_not_as_overhead() -> None:
    clock, question = FakeClock(), call()

    await attempt(clock)(question, Upstream(fault(errors.ProviderFailed), WHOLE))

    assert question.away.seconds > 0


async def test_the_next_target_is_asked_when_the_first_cannot_answer() -> None:
    clock, upstream = FakeClock(), Upstream(fault(errors.ProviderAuth), WHOLE)

    reply = await attempt(clock)(call(targets=(TARGET, OTHER)), upstream)

    assert (reply.head.provider, reply.head.model) == (OTHER.provider, OTHER.model)
    assert [asked.targets for asked in upstream.calls] == [(TARGET,), (OTHER,)]
    assert clock.pauses == []


async def test_a_refused_request_is_not_sent_elsewhere() -> None:
    upstream = Upstream(fault(errors.ProviderRejected))

    with pytest.raises(errors.ProviderRejected):
        await attempt(FakeClock())(call(targets=(TARGET, OTHER)), upstream)

    assert len(upstream.calls) == 1


async def test_no_pause_outlives_the_deadline() -> None:
    clock = FakeClock()
    upstream = Upstream(fault(errors.ProviderRateLimited, retry_after=5))

    with pytest.raises(errors.ProviderRateLimited):
        await attempt(clock)(call(deadline=clock.time + 1), upstream)

    assert clock.pauses == []
    assert len(upstream.calls) == 1


@pytest.mark.parametrize(
    ("advice", "jitter", "expected"),
    [
        (None, 1.0, Retry(0.25)),
        (None, 0.0, Retry(0.0)),
        (2.0, 0.0, Retry(2.0)),
        (0.0, 1.0, Retry(0.0)),
        (120.0, 1.0, Retry(120.0)),
        (120.1, 1.0, GiveUp()),
    ],
)
def test_advice_is_obeyed_to_the_letter_and_jitter_only_shapes_our_own_pauses(
    advice: float | None, jitter: float, expected: Retry | GiveUp
) -> None:
    verdict = decide(fault(errors.ProviderRateLimited, advice), 1, 0, 1000.0, Policy(), jitter)

    assert verdict == expected


def test_advice_to_wait_makes_another_target_the_faster_way() -> None:
    assert decide(fault(errors.ProviderRateLimited, 2.0), 1, 1, 1000.0, Policy(), 1.0) == Next()
    assert decide(fault(errors.ProviderRateLimited), 1, 1, 1000.0, Policy(), 1.0) == Retry(0.25)


def test_nothing_new_is_begun_when_no_time_is_left() -> None:
    assert decide(fault(errors.ProviderAuth), 1, 1, 0.0, Policy(), 1.0) == GiveUp()


@pytest.mark.parametrize("kind", list(every()), ids=lambda kind: kind.__name__)
def test_every_fault_is_retried_just_when_its_row_says_so(kind: type[Fault]) -> None:
    alone = decide(fault(kind), 1, 0, 1000.0, Policy(), 1.0)
    with_another = decide(fault(kind), 3, 1, 1000.0, Policy(), 1.0)

    assert isinstance(alone, Retry) == kind.row.retry
    assert isinstance(with_another, Next) == (kind.row.fallback == "next")
