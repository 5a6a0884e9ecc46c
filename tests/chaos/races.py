"""Callers that cancel while two targets race: both are released, whichever was about to win."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import grpc.aio

from tests.chaos.environment import ObservedGateway, observed_gateway
from tests.chaos.invariants import metric_total
from tests.chaos.leaks import leaks
from tests.chaos.report import Report
from tests.chaos.requests import Client, provider_tables, wait_until
from tests.integration.faults.fault_catalog import responds
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Request, Step, Upstream
from tests.support.gateway import settings_with
from tests.support.http_servers.raw import SocketFault

CALLS = 800
CONCURRENCY = 8
FALLBACKS = ("second/m", "third/m")
HEDGING_DELAY_SECONDS = 0.02
RESPONSE_SECONDS = 0.015
HEDGING = {"enabled": True, "max_ratio": 1.0, "min_delay_seconds": HEDGING_DELAY_SECONDS, "min_samples": 1}


class StallFirstRequest:
    """Once `is_enabled`, stalls the first request of each call and responds to the others, at any upstream."""

    def __init__(self) -> None:
        self._requests_by_call: Counter[str] = Counter()
        self.is_enabled = False

    def __call__(self, request: Request) -> Sequence[Step]:
        self._requests_by_call[request.id] += 1
        if self.is_enabled and self._requests_by_call[request.id] == 1:
            return (SocketFault.STALL,)
        return responds(delay=RESPONSE_SECONDS if self.is_enabled else 0.0)(request)


def races(seed: int) -> Report:
    """Cancel hedged calls around the time at which their race is decided."""
    report, responder = Report(), StallFirstRequest()
    upstreams = [Upstream(responder, name=name) for name in ("first", "second", "third")]
    with served_upstreams(*upstreams):
        settings = settings_with(providers=provider_tables(upstreams), hedging=HEDGING)
        with observed_gateway(settings) as gateway:
            asyncio.run(_run(gateway, responder, upstreams, Random(f"{seed}/races"), report))
    return report


async def _run(
    gateway: ObservedGateway, responder: StallFirstRequest, upstreams: list[Upstream], random: Random, report: Report
) -> None:
    client = Client(gateway.target)
    for _ in range(3):
        await client.result(client.generate("first/m", *FALLBACKS))
    responder.is_enabled = True
    await asyncio.sleep(1.2)  # until the latency percentiles are recomputed
    for _ in range(CALLS // CONCURRENCY):
        await asyncio.gather(*(_cancel_after(client, random.uniform(0.0, 0.06)) for _ in range(CONCURRENCY)))
    await wait_until(lambda: gateway.admission.in_flight == 0)
    await asyncio.sleep(0.2)
    report.record("races: calls", CALLS)
    report.record("races: hedged requests", metric_total(gateway, "aimanager_hedged_requests_total", provider="first"))
    found = list(leaks(gateway))
    report.at_most("races: resources still held", len(found), 0)
    for one in found[:6]:
        report.violation(f"races: {one[:600]}")
    requests_by_call = Counter(request.id for request in upstreams[0].requests)
    repeated = sum(count > 1 for count in requests_by_call.values())
    report.at_most("races: targets hedged with themselves", repeated, 0)
    await client.channel.close()


async def _cancel_after(client: Client, seconds: float) -> None:
    call: Any = client.generate("first/m", *FALLBACKS)
    timer = asyncio.get_running_loop().call_later(seconds, call.cancel)
    with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
        await call
    timer.cancel()
