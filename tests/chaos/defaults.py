"""What the settings promise as they come: how soon a provider that is silent, broken or gone is left for another."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable
from typing import Any

from tests.chaos.environment import House, housed
from tests.chaos.outage import Door, Fallen, outages
from tests.chaos.report import Report
from tests.chaos.requests import Asking, Told, settings_for
from tests.integration.faults.fault_catalog import (
    breaks_off,
    does,
    keeps_silent,
    opens_and_keeps_silent,
    pings,
    refuses,
    says,
)
from tests.integration.faults.socket_faults import listening
from tests.integration.faults.upstream import Act, Answer, Pause, Upstream
from tests.integration.faults.wires import TEXT, begun
from tests.support.gateway import settings_with
from tests.support.http_servers.blackhole import black_hole

SPARE = "spare/m"
SILENT_SECONDS = 11.0
UNREACHABLE_SECONDS = 2.5
LOST_NAME = "lost.example"


class Named(Upstream):
    """An upstream that is one of many providers."""

    def __init__(self, name: str, *script: Answer, **said: Any) -> None:
        super().__init__(*script, **said)
        self.name = name


def defaults(seconds: float) -> Report:
    """Every promise of the default settings, side by side, and outages of `seconds` beside them."""
    report = Report()
    twice = (refuses(429, "Slow down.", "Retry-After: 2"), says())
    ill = [
        Named("silent", keeps_silent()),
        Named("silent_stream", opens_and_keeps_silent()),
        Named("pinging", pings(every=0.5)),
        Named("late", does(*_late())),
        Named("late_stream", does(*_late())),
        Named("stalls", breaks_off(20, Act.SILENCE)),
        Named("stalls_stream", breaks_off(20, Act.SILENCE)),
        Named("stalls_restart", breaks_off(20, Act.SILENCE)),
        Named("broken", refuses(503)),
        Named("broken_stream", refuses(503)),
        Named("limited", *twice),
        Named("limited_beside", *twice),
        Named("hole"),
        Named("no_name", base_url=f"http://{LOST_NAME}/v1", allow_plaintext=True),
        Named("spare", says()),
    ]  # fmt: skip
    fallen = [Fallen("all_broken"), Fallen("list_answers"), Fallen("refusing")]
    with listening(*ill, *fallen), black_hole() as port, Door(fallen[2].port) as door:
        fallen[2].said["base_url"] = f"http://127.0.0.1:{door.port}/v1"
        next(one for one in ill if one.name == "hole").said["base_url"] = f"http://127.0.0.1:{port}/v1"
        with housed(settings_with(providers=settings_for([*ill, *fallen]))) as house:
            _lose_a_name(house)
            asyncio.run(_all(house, {one.name: one for one in ill}, fallen, door, seconds, report))
    return report


def _late() -> tuple[Any, ...]:
    return (begun(), Pause(60.0))


def _lose_a_name(house: House) -> None:
    """Have one name asked of a server that never says a word."""

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host == LOST_NAME:
            time.sleep(8.0)
        return socket.getaddrinfo(host, *rest, **more)

    house.app.providers["no_name"]._transport._look_up = look_up  # type: ignore[attr-defined]


async def _all(
    house: House, ill: dict[str, Named], fallen: list[Fallen], door: Door, seconds: float, report: Report
) -> None:
    asking = Asking(house.target)
    beside = asyncio.create_task(outages(asking, house, fallen, door, seconds, report))
    await asyncio.gather(
        _silent(asking, ill, report), _stalling(asking, report), _failing(asking, ill, report), _gone(asking, report)
    )
    await beside
    await asking.channel.close()


async def _silent(asking: Asking, ill: dict[str, Named], report: Report) -> None:
    asked = {
        "silent": asking.call("silent/m", SPARE),
        "silent_stream": asking.stream("silent_stream/m", SPARE),
        "pinging": asking.stream("pinging/m", SPARE),
        "late": asking.call("late/m", SPARE),
        "late_stream": asking.stream("late_stream/m", SPARE),
    }
    for name, told in (await _each(asking, asked)).items():
        _whole(name, told, report)
        report.at_most(f"defaults: {name}: answered after, s", told.seconds, SILENT_SECONDS)
        report.at_most(f"defaults: {name}: attempts", len(ill[name].requests), 1)


async def _stalling(asking: Asking, report: Report) -> None:
    asked = {
        "stalls": asking.call("stalls/m", SPARE),
        "stalls_stream": asking.stream("stalls_stream/m", SPARE),
        "stalls_restart": asking.stream("stalls_restart/m", SPARE, restarts=True),
    }
    told = await _each(asking, asked)
    cut = told.pop("stalls_stream")
    if (cut.code, cut.reason) != ("ABORTED", "STREAM_INTERRUPTED"):
        report.violated(f"defaults: stalls_stream: ended {cut.code} {cut.reason}")
    report.at_most("defaults: stalls_stream: noticed after, s", cut.gap, SILENT_SECONDS)
    for name, one in told.items():
        _whole(name, one, report)
        report.at_most(f"defaults: {name}: answered after, s", one.seconds, SILENT_SECONDS)
    if told["stalls_restart"].kinds.count("restarted") != 1:
        report.violated("defaults: stalls_restart: never restarted")


async def _failing(asking: Asking, ill: dict[str, Named], report: Report) -> None:
    asked = {
        "broken": asking.call("broken/m", SPARE),
        "broken_stream": asking.stream("broken_stream/m", SPARE),
        "limited": asking.call("limited/m"),
        "limited_beside": asking.call("limited_beside/m", SPARE),
    }
    told = await _each(asking, asked)
    for name, one in told.items():
        _whole(name, one, report)
    for name in ("broken", "broken_stream"):
        report.at_most(f"defaults: {name}: answered after, s", told[name].seconds, UNREACHABLE_SECONDS)
        report.at_most(f"defaults: {name}: attempts", len(ill[name].requests), 3)
    report.at_least("defaults: limited, alone: waited, s", told["limited"].seconds, 2.0)
    report.at_most("defaults: limited, with another: answered after, s", told["limited_beside"].seconds, 1.0)


async def _gone(asking: Asking, report: Report) -> None:
    asked = {name: asking.call(f"{name}/m", SPARE) for name in ("hole", "no_name")}
    for name, told in (await _each(asking, asked)).items():
        _whole(name, told, report)
        report.at_most(f"defaults: {name}: answered after, s", told.seconds, UNREACHABLE_SECONDS)
        report.told(f"defaults: {name}: attempts", told.asked(name))


async def _each(asking: Asking, asked: dict[str, Awaitable[Any]]) -> dict[str, Told]:
    told = await asyncio.gather(*map(asking.told, asked.values()))
    return dict(zip(asked, told, strict=True))


def _whole(name: str, told: Told, report: Report) -> None:
    if told.text != TEXT:
        report.violated(f"defaults: {name}: no whole answer, but {told}")
