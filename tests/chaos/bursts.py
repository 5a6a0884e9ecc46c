"""Storms of retries against a provider that is down, and the herd that comes back to one that has recovered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.chaos.defaults import Named
from tests.chaos.environment import House, housed
from tests.chaos.report import Report
from tests.chaos.requests import Asking, settings_for, until
from tests.integration.faults.fault_catalog import refuses, says
from tests.integration.faults.socket_faults import listening
from tests.integration.faults.upstream import Asked, Upstream
from tests.support.gateway import settings_with

CALLS = 1000
AT_ONCE = 60
HERD = 150
ANSWER_SECONDS = 0.2
NEVER_OPENS: dict[str, Any] = {"failure_threshold": 1_000_000, "window_calls": 1_000_000, "window_share": 1.0}
PAUSE_SECONDS = 0.15
"""Between two calls of one of the herd."""


def herds(seed: int) -> Report:
    """Both, with the default settings but for the breaker of the storm, which would end it at once."""
    report = Report()
    down, fenced, spare = Named("down", refuses(503)), Named("fenced", refuses(503)), Named("spare", says())
    with listening(down, spare), _house([down, spare], breaker=NEVER_OPENS) as house:
        asyncio.run(_storm(house, down, report, seed))
    herded = Named("herded", refuses(503), listing=refuses(503))
    with listening(fenced, herded, spare), _house([fenced, herded, spare]) as house:
        asyncio.run(_fenced(house, fenced, report))
        asyncio.run(_herd(house, herded, report, seed))
    return report


@contextmanager
def _house(upstreams: Sequence[Named], **sections: Any) -> Iterator[House]:
    # Only here, since the ports are known only while they listen.
    with housed(settings_with(providers=settings_for(upstreams), **sections)) as house:
        yield house


async def _storm(house: House, down: Named, report: Report, seed: int) -> None:
    asking, random, began = Asking(house.target), Random(f"{seed}/retries"), time.monotonic()
    calls = [("spare/m",) if random.random() < 0.5 else () for _ in range(CALLS)]
    await _each(asking, [("down/m", *others) for others in calls])
    seconds = time.monotonic() - began
    report.told("retries: seconds", seconds)
    report.told("retries: calls", CALLS)
    retries = len(down.requests) - CALLS
    report.at_most("retries: against nothing but 503", retries, CALLS * 0.1 + 10 + seconds)
    counted = house.app.metrics.registry.get_sample_value("aimanager_retries_total", {"provider": "down"})
    if counted != retries:
        report.violated(f"retries: aimanager_retries_total is {counted}, seen were {retries}")
    await asking.channel.close()


async def _fenced(house: House, fenced: Named, report: Report) -> None:
    asking, began = Asking(house.target), time.monotonic()
    await _each(asking, [("fenced/m",)] * CALLS)
    probes = len(fenced.listings)
    report.told("retries: with a breaker: seconds", time.monotonic() - began)
    # Those that were under way when it opened had passed it before.
    report.at_most("retries: with a breaker: requests", len(fenced.requests), AT_ONCE + 5 + 10 + probes)
    await asking.channel.close()


async def _each(asking: Asking, questions: list[tuple[str, ...]]) -> None:
    left = iter(questions)

    async def one_after_the_other() -> None:
        for question in left:
            await asking.told(asking.call(*question))

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def _herd(house: House, herded: Named, report: Report, seed: int) -> None:
    asking = Asking(house.target)
    random, leaving = Random(f"{seed}/herd"), asyncio.Event()
    answered: list[bool] = []

    async def member(pause: float) -> None:
        await asyncio.sleep(pause)
        while not leaving.is_set():
            answered.append((await asking.told(asking.call("herded/m", "spare/m"))).text is not None)
            await asyncio.sleep(PAUSE_SECONDS)

    members = [asyncio.create_task(member(random.uniform(0.0, 1.0))) for _ in range(HERD)]
    await asyncio.sleep(5.0)
    down = len(herded.requests)
    herded.plays(says(late=ANSWER_SECONDS))
    herded.listing = Upstream().listing
    recovered = time.monotonic()
    await until(lambda: len(herded.requests) > down, 8.0)
    report.at_most("herd: first call admitted after the recovery, s", time.monotonic() - recovered, 5.0)
    await asyncio.sleep(1.5)
    leaving.set()
    await asyncio.gather(*members)
    after = herded.requests[down:]
    begins = after[0].at if after else 0.0
    report.told("herd: callers", HERD)
    report.told("herd: calls", len(answered))
    report.at_most("herd: calls that failed", answered.count(False), 0)
    report.at_most("herd: requests while the circuit closed on its own", down, 5 + 10 + HERD)
    report.at_most("herd: requests before the first answer", _before(after, begins + ANSWER_SECONDS), 1)
    report.told("herd: requests at once in the first second", _at_once(after, begins))
    await asking.channel.close()


def _before(requests: Sequence[Asked], when: float) -> int:
    return sum(asked.at < when for asked in requests)


def _at_once(requests: Sequence[Asked], begins: float) -> int:
    times = [asked.at for asked in requests if asked.at < begins + 1.0]
    return max((sum(at <= one < at + ANSWER_SECONDS for one in times) for at in times), default=0)
