import math

import pytest

from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError, all_errors
from aimanager_server.core.request import Target
from aimanager_server.resilience.retry_policy import GiveUp, Next, Policy, Retry, Stand, decide, heirs

SMALL = Target("mock", "small", context_window=8_000)
LARGE = Target("mock", "large", context_window=200_000)
UNKNOWN = Target("mock", "unknown")
POLICY = Policy()


def fault(kind: type[GatewayError], retry_after: float | None = None) -> GatewayError:
    return kind("failed", retry_after=retry_after)


def stand(
    tries: int = 1, heirs: int = 0, left: float = 1000.0, *, affordable: bool = True, breaks: int = 0, took: float = 0.0
) -> Stand:
    return Stand(tries, heirs, left, affordable, breaks, took)


def broken_by(cause: GatewayError | None) -> GatewayError:
    broken = errors.StreamInterrupted("cut")
    broken.__cause__ = cause
    return broken


@pytest.mark.parametrize(
    ("advice", "jitter", "expected"),
    [
        (None, 1.0, Retry(0.25)),
        (None, 0.0, Retry(0.0)),
        (2.0, 0.0, Retry(2.0)),
        (2.0, 1.0, Retry(2.25)),
        (0.0, 0.0, Retry(0.0)),
        (120.0, 0.0, Retry(120.0)),
        (120.1, 0.0, GiveUp()),
        (math.inf, 0.0, GiveUp()),
    ],
)
def test_advice_is_never_cut_short_and_jitter_spreads_those_who_got_the_same(
    advice: float | None, jitter: float, expected: Retry | GiveUp
) -> None:
    assert decide(fault(errors.ProviderRateLimited, advice), stand(), POLICY, jitter) == expected


def test_pauses_double_with_every_try() -> None:
    pauses = [decide(fault(errors.ProviderInternalError), stand(tries), POLICY, 1.0) for tries in (1, 2, 3)]

    assert pauses == [Retry(0.25), Retry(0.5), GiveUp()]


def test_a_failure_that_took_long_makes_another_target_the_faster_way() -> None:
    assert decide(fault(errors.ProviderUnreachable), stand(heirs=1, took=2.0), POLICY, 1.0) == Next()
    assert decide(fault(errors.ProviderUnreachable), stand(took=2.0), POLICY, 1.0) == Retry(0.25)


def test_advice_to_wait_makes_another_target_the_faster_way() -> None:
    assert decide(fault(errors.ProviderRateLimited, 2.0), stand(heirs=1), POLICY, 1.0) == Next()
    assert decide(fault(errors.ProviderRateLimited), stand(heirs=1), POLICY, 1.0) == Retry(0.25)


@pytest.mark.parametrize(("left", "expected"), [(2.0, GiveUp()), (2.04, GiveUp()), (2.06, Retry(2.0))])
def test_nothing_is_waited_for_that_the_deadline_would_cut_off(left: float, expected: Retry | GiveUp) -> None:
    assert decide(fault(errors.ProviderRateLimited, 2.0), stand(left=left), POLICY, 0.0) == expected


def test_nothing_new_is_begun_when_no_time_is_left() -> None:
    assert decide(fault(errors.ProviderCredentialsInvalid), stand(heirs=1, left=0.0), POLICY, 1.0) == GiveUp()


def test_an_empty_budget_sends_on_instead_of_again() -> None:
    assert decide(fault(errors.ProviderInternalError), stand(heirs=1, affordable=False), POLICY, 1.0) == Next()
    assert decide(fault(errors.ProviderInternalError), stand(affordable=False), POLICY, 1.0) == GiveUp()


def test_a_silent_target_is_not_asked_again() -> None:
    assert decide(fault(errors.FirstTokenTimeout), stand(), POLICY, 1.0) == GiveUp()
    assert decide(fault(errors.FirstTokenTimeout), stand(heirs=1), POLICY, 1.0) == Next()


def test_an_answer_that_broke_off_begins_at_the_next_target_or_once_more_at_the_same() -> None:
    cut = broken_by(errors.ProviderUnreachable("reset"))

    assert decide(cut, stand(heirs=1, breaks=1), POLICY, 1.0) == Next()
    assert decide(cut, stand(tries=2, breaks=1), POLICY, 1.0) == Retry(0.0)
    assert decide(cut, stand(tries=2, breaks=2), POLICY, 1.0) == GiveUp()


def test_an_answer_is_not_begun_again_beyond_the_tries_and_the_budget() -> None:
    cut = broken_by(errors.ProviderUnreachable("reset"))

    assert decide(cut, stand(tries=3, breaks=1), POLICY, 1.0) == GiveUp()
    assert decide(cut, stand(breaks=1, affordable=False), POLICY, 1.0) == GiveUp()


@pytest.mark.parametrize("cause", [errors.ContentBlocked("no"), errors.DeadlineExceeded("late")])
def test_an_answer_that_a_policy_or_the_deadline_broke_off_is_not_begun_again(cause: GatewayError) -> None:
    cut = broken_by(cause)

    assert heirs(cut, SMALL, [LARGE]) == ()
    assert decide(cut, stand(), POLICY, 1.0) == GiveUp()


def test_what_is_too_long_goes_only_where_more_is_known_to_fit() -> None:
    too_long = fault(errors.ContextTooLong)

    assert heirs(too_long, SMALL, [UNKNOWN, SMALL, LARGE]) == (LARGE,)
    assert heirs(too_long, LARGE, [SMALL, UNKNOWN]) == ()
    assert heirs(too_long, UNKNOWN, [LARGE]) == ()


@pytest.mark.parametrize("kind", [kind for kind in all_errors() if kind is not errors.StreamInterrupted])
def test_every_fault_is_retried_and_passed_on_just_when_its_row_says_so(kind: type[GatewayError]) -> None:
    alone = decide(fault(kind), stand(), POLICY, 1.0)
    others = heirs(fault(kind), SMALL, [SMALL, LARGE])

    assert isinstance(alone, Retry) == kind.spec.retryable
    assert others == {"next": (SMALL, LARGE), "larger": (LARGE,), "never": ()}[kind.spec.fallback]
