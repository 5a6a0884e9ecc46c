"""Delays of failed authentications by peer."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core.errors import RateLimited
from aimanager_server.resilience.auth_backoff import (
    FORGET_SECONDS,
    FREE_FAILURES,
    MAX_DELAYED,
    MAX_DELAYED_PER_PEER,
    MAX_PEERS,
    AuthBackoff,
)
from tests.support.clock import FakeClock


class FakeSleep:
    """Records the delays; while `blocked`, each lasts until `release` is set."""

    def __init__(self, *, blocked: bool = False) -> None:
        self.delays: list[float] = []
        self.release = asyncio.Event()
        if not blocked:
            self.release.set()

    async def __call__(self, seconds: float) -> None:
        self.delays.append(seconds)
        await self.release.wait()


async def test_delays_double_after_the_first_failures_up_to_a_limit() -> None:
    sleep = FakeSleep()
    backoff = AuthBackoff(FakeClock(), sleep)

    for _ in range(FREE_FAILURES + 7):
        await backoff.delay_failure("a")

    assert sleep.delays == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


async def test_the_delay_stays_at_its_limit_after_any_number_of_failures() -> None:
    sleep = FakeSleep()
    backoff = AuthBackoff(FakeClock(), sleep)

    for _ in range(3000):
        await backoff.delay_failure("a")

    assert sleep.delays[-1] == 2.0


async def test_each_peer_has_its_own_delay_which_ends_after_a_minute_without_failures() -> None:
    sleep, clock = FakeSleep(), FakeClock()
    backoff = AuthBackoff(clock, sleep)
    for _ in range(FREE_FAILURES):
        await backoff.delay_failure("a")

    await backoff.delay_failure("b")
    clock.advance(FORGET_SECONDS)
    await backoff.delay_failure("a")

    assert sleep.delays == []


async def failing(backoff: AuthBackoff, peers: list[str]) -> tuple[list[asyncio.Task[None]], int]:
    """Start a failure of each peer; return the calls that wait, and how many were refused at once."""
    calls = [asyncio.ensure_future(backoff.delay_failure(peer)) for peer in peers]
    await asyncio.sleep(0)
    refused = [call for call in calls if call.done() and isinstance(call.exception(), RateLimited)]
    return [call for call in calls if not call.done()], len(refused)


async def test_only_some_calls_of_a_peer_wait_at_a_time_and_the_others_are_refused_at_once() -> None:
    sleep = FakeSleep(blocked=True)
    backoff = AuthBackoff(FakeClock(), sleep)

    waiting, refused = await failing(backoff, ["a"] * (FREE_FAILURES + MAX_DELAYED_PER_PEER + 3))
    others, _ = await failing(backoff, ["b"] * (FREE_FAILURES + 1))
    sleep.release.set()
    await asyncio.gather(*waiting, *others)
    again, _ = await failing(backoff, ["a"])

    assert (len(waiting), refused, len(others)) == (MAX_DELAYED_PER_PEER, 3, 1)
    await asyncio.gather(*again)


async def test_a_bounded_number_of_calls_waits_in_total() -> None:
    sleep = FakeSleep(blocked=True)
    backoff = AuthBackoff(FakeClock(), sleep)
    peers = [str(number) for number in range(2 * MAX_DELAYED // MAX_DELAYED_PER_PEER)]

    waiting, _ = await failing(backoff, peers * (FREE_FAILURES + MAX_DELAYED_PER_PEER))
    with pytest.raises(RateLimited, match=r"Too many failed authentications\. Retry in ") as refused:
        await backoff.delay_failure(peers[0])
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert len(waiting) == MAX_DELAYED
    assert (refused.value.retry_after, dict(refused.value.metadata)) == (2.0, {"quota": "failed_authentications"})
    again, _ = await failing(backoff, peers[:1])
    assert len(again) == 1
    again[0].cancel()


async def test_the_least_recent_peer_is_forgotten() -> None:
    sleep = FakeSleep()
    backoff = AuthBackoff(FakeClock(), sleep)
    for _ in range(FREE_FAILURES):
        await backoff.delay_failure("first")

    for number in range(MAX_PEERS):
        await backoff.delay_failure(str(number))
    await backoff.delay_failure("first")

    assert sleep.delays == []
