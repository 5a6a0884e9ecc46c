"""Callers that leave in the middle of a race of two targets: both are let go of, whoever was about to win."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import grpc.aio

from tests.chaos.defaults import Named
from tests.chaos.environment import House, housed
from tests.chaos.leaks import leaks
from tests.chaos.report import Report
from tests.chaos.requests import Asking, settings_for, until
from tests.integration.faults.fault_catalog import says
from tests.integration.faults.socket_faults import listening
from tests.integration.faults.upstream import Act, Asked, Step
from tests.support.gateway import settings_with

CALLS = 800
AT_ONCE = 8
OTHERS = ("hare/m", "snail/m")
LEAST_SECONDS = 0.02
WINS_SECONDS = 0.015
HEDGING = {"enabled": True, "share": 1.0, "least_seconds": LEAST_SECONDS, "least_samples": 1}


class Runners:
    """Answers the second request of each call, whoever gets it, and leaves the first in silence."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()
        self.races = False

    def __call__(self, asked: Asked) -> Sequence[Step]:
        call = asked.headers.get("x-client-request-id", "")
        self._times[call] += 1
        if self.races and self._times[call] == 1:
            return (Act.SILENCE,)
        return says(late=WINS_SECONDS if self.races else 0.0)(asked)


def races(seed: int) -> Report:
    """Let them leave around the moment in which the race is decided."""
    report, runners = Report(), Runners()
    upstreams = [Named(name, runners) for name in ("tortoise", "hare", "snail")]
    with listening(*upstreams), housed(settings_with(providers=settings_for(upstreams), hedging=HEDGING)) as house:
        asyncio.run(_races(house, runners, upstreams, Random(f"{seed}/races"), report))
    return report


async def _races(house: House, runners: Runners, upstreams: list[Named], random: Random, report: Report) -> None:
    asking = Asking(house.target)
    for _ in range(3):
        await asking.told(asking.call("tortoise/m", *OTHERS))
    runners.races = True
    await asyncio.sleep(1.2)  # until the typical times are reckoned anew
    for _ in range(CALLS // AT_ONCE):
        await asyncio.gather(*(_leave(asking, random.uniform(0.0, 0.06)) for _ in range(AT_ONCE)))
    await until(lambda: house.admit.in_flight == 0)
    await asyncio.sleep(0.2)
    report.told("races: calls", CALLS)
    report.told("races: run", house.app.metrics.registry.get_sample_value("aimanager_hedges_total", _LABELS) or 0)
    found = list(leaks(house))
    report.at_most("races: places and answers still held", len(found), 0)
    for one in found[:6]:
        report.violated(f"races: {one[:600]}")
    own = Counter(asked.headers.get("x-client-request-id", "") for asked in upstreams[0].requests)
    report.at_most("races: targets raced with themselves", sum(count > 1 for count in own.values()), 0)
    await asking.channel.close()


_LABELS = {"provider": "tortoise", "model": "m"}


async def _leave(asking: Asking, after: float) -> None:
    call: Any = asking.call("tortoise/m", *OTHERS)
    timer = asyncio.get_running_loop().call_later(after, call.cancel)
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await call
    timer.cancel()
