"""Callers that leave, in every phase of a call: how long until the upstream, or the place, is let go of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc.aio

from tests.chaos.defaults import Named
from tests.chaos.environment import House, housed
from tests.chaos.leaks import idle_connections, leaks
from tests.chaos.report import Report, at_share
from tests.chaos.requests import Asking, settings_for, until
from tests.integration.faults.fault_catalog import breaks_off, keeps_silent, opens_and_keeps_silent, refuses
from tests.integration.faults.socket_faults import listening
from tests.integration.faults.upstream import Act, Link
from tests.support.gateway import settings_with

CANCELS = 200
AT_ONCE = 4
PROMPTLY_SECONDS = 0.1
PATIENT = dict.fromkeys(
    ("first_token_seconds", "first_token_reasoning_seconds", "idle_text_seconds", "idle_tool_call_seconds",
     "idle_reasoning_seconds"), 60.0
)  # fmt: skip


def cancels() -> Report:
    """Every phase, one after the other."""
    report = Report()
    upstreams = [
        Named("silent", keeps_silent()),
        Named("opened", opens_and_keeps_silent()),
        Named("midway", breaks_off(20, Act.SILENCE)),
        Named("broken", refuses(503, "Not now.", "Retry-After: 30")),
        Named("narrow", keeps_silent(), max_in_flight=1),
        Named("slim", keeps_silent(), max_connections=1, connect_timeout_seconds=30.0),
    ]
    endless = 10_000_000
    sections: dict[str, Any] = {
        "patience": PATIENT,
        "retry": {"budget_reserve": endless},
        "breaker": {"failure_threshold": endless, "window_calls": endless, "window_share": 1.0},
        "server": {"max_in_flight": 40, "queue_seconds": 30.0},
    }
    with listening(*upstreams), housed(settings_with(providers=settings_for(upstreams), **sections)) as house:
        asyncio.run(_all(house, {one.name: one for one in upstreams}, report))
    return report


async def _all(house: House, upstreams: dict[str, Named], report: Report) -> None:
    asking = Asking(house.target)
    for name, model, streaming in (
        ("waiting for headers", "silent", False),
        ("waiting for headers, stream", "silent", True),
        ("before the first token", "opened", True),
        ("mid-stream", "midway", True),
        ("mid-answer of a unary call that is streamed underneath", "midway", False),
    ):
        _told(report, name, await _of_upstream(asking, upstreams[model], streaming=streaming))
    _told(
        report, "in back-off", await _of_places(asking, house, "broken", lambda: _pausing(house, upstreams["broken"]))
    )
    asked = len(upstreams["broken"].requests)
    for name, model in (("in the queue of a provider", "narrow"), ("in the queue for a connection", "slim")):
        async with _Held(asking, house, upstreams[model], 1):
            _told(report, name, await _of_places(asking, house, model, lambda: True, base=1))
        report.at_most(f"cancel: {name}: requests that reached the provider", len(upstreams[model].requests), 1)
    async with _Held(asking, house, upstreams["silent"], 40):
        _told(report, "in the queue at the door", await _queued(asking, house))
    await asyncio.sleep(0.3)
    report.at_most("cancel: requests after a cancelled back-off", len(upstreams["broken"].requests) - asked, 0)
    open_now = sum(one.open_now for one in upstreams.values())
    report.at_most(
        "cancel: upstream connections left that are not idle", open_now - idle_connections(house, tuple(upstreams)), 0
    )
    for one in leaks(house):
        report.violated(f"cancel: {one}")
    await asking.channel.close()


async def _of_upstream(asking: Asking, upstream: Named, *, streaming: bool) -> list[float]:
    """Seconds from the cancel to the moment in which the upstream sees the other side hang up."""
    taken: list[float] = []
    while len(taken) < CANCELS:
        known = len(upstream.requests)
        model, rest = f"{upstream.name}/m", ("narrow/m",)
        calls = [asking.stream(model) if streaming else asking.call(model, *rest) for _ in range(AT_ONCE)]
        reading = [asyncio.ensure_future(_read(call)) for call in calls]
        await until(lambda known=known: len(upstream.requests) >= known + AT_ONCE)
        await asyncio.sleep(0.03)
        links = [asked.link for asked in upstream.requests[known:]]
        began = time.monotonic()
        for call in calls:
            call.cancel()
        await until(lambda links=links: all(link.left_at is not None for link in links))
        taken += [_left(link) - began for link in links]
        await asyncio.gather(*reading)
    return taken


def _left(link: Link) -> float:
    return float("inf") if link.left_at is None else link.left_at


async def _of_places(
    asking: Asking, house: House, model: str, is_there: Callable[[], bool], base: int = 0
) -> list[float]:
    """Seconds from the cancel to the moment in which the call holds no place any more."""
    taken: list[float] = []
    while len(taken) < CANCELS:
        calls = [asking.call(f"{model}/m") for _ in range(AT_ONCE)]
        reading = [asyncio.ensure_future(_read(call)) for call in calls]
        await until(lambda: house.admit.in_flight >= base + AT_ONCE and is_there())
        await asyncio.sleep(0.03)
        taken += await _until_free(calls, lambda: house.admit.in_flight - base)
        await asyncio.gather(*reading)
    return taken


async def _queued(asking: Asking, house: House) -> list[float]:
    taken: list[float] = []
    while len(taken) < CANCELS:
        calls = [asking.call("silent/m") for _ in range(AT_ONCE)]
        reading = [asyncio.ensure_future(_read(call)) for call in calls]
        await until(lambda: house.admit.waiting >= AT_ONCE)
        taken += await _until_free(calls, lambda: house.admit.waiting)
        await asyncio.gather(*reading)
    return taken


async def _until_free(calls: list[Any], busy: Callable[[], int]) -> list[float]:
    began, freed = time.monotonic(), list[float]()
    for call in calls:
        call.cancel()
    while len(freed) < len(calls) and time.monotonic() < began + 5.0:
        freed += [time.monotonic() - began] * (len(calls) - busy() - len(freed))
        await asyncio.sleep(0.0005)
    return freed + [float("inf")] * (len(calls) - len(freed))


def _pausing(house: House, upstream: Named) -> bool:
    return house.there(lambda: all(one.is_over for one in house.sendings))


class _Held:
    """Calls that hold places until the block ends."""

    def __init__(self, asking: Asking, house: House, upstream: Named, count: int) -> None:
        self._calls = [asking.call(f"{upstream.name}/m") for _ in range(count)]
        self._reading = [asyncio.ensure_future(_read(call)) for call in self._calls]
        self._house = house

    async def __aenter__(self) -> None:
        await until(lambda: self._house.admit.in_flight >= len(self._calls))
        await asyncio.sleep(0.1)

    async def __aexit__(self, *_: object) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._reading)
        await until(lambda: self._house.admit.in_flight == 0)


async def _read(call: Any) -> None:
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call


def _told(report: Report, phase: str, taken: list[float]) -> None:
    report.told(f"cancel: {phase}: cancels", len(taken))
    report.told(f"cancel: {phase}: p50, ms", 1000 * at_share(taken, 0.5))
    report.at_most(f"cancel: {phase}: p99, ms", 1000 * at_share(taken, 0.99), 1000 * PROMPTLY_SECONDS)
