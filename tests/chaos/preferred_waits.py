"""A provider that asks every caller to wait for a moment: what `[retry] prefer_same_target_seconds` changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.chaos.environment import observed_gateway
from tests.chaos.report import Report
from tests.chaos.requests import DEFAULT_LAG_LIMIT, CallResult, Client, provider_tables
from tests.integration.faults.fault_catalog import fails, responds
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Request, Responder, Step, Upstream
from tests.integration.faults.wires import TEXT
from tests.support.gateway import settings_with

CALLS = 20
ADVICE_SECONDS = 2.0
FALLBACK = "spare/m"


def preferred_waits() -> Report:
    """Send calls and streams at once to a target that rate-limits all of them, with a fallback left."""
    report = Report()
    waited, switched = _run(prefer_same_target_seconds=3.0), _run()
    for name, results in {"preferred wait": waited, "no preference": switched}.items():
        if any(result.text != TEXT for result in results):
            report.violation(f"{name}: an incomplete response: {results}")
    report.at_least("preferred wait: shortest, s", min(result.seconds for result in waited), ADVICE_SECONDS)
    report.at_most("preferred wait: attempts at the fallback", _at_the_fallback(waited), 0)
    report.at_most("no preference: longest, s", max(result.seconds for result in switched), ADVICE_SECONDS)
    report.at_least("no preference: attempts at the fallback", _at_the_fallback(switched), CALLS)
    return report


def _run(**retry: Any) -> list[CallResult]:
    limited = Upstream(_limited_at_first(), name="busy")
    upstreams = (limited, Upstream(responds(), name="spare"))
    settings = {"retry": {"budget_burst": 2 * CALLS, **retry}, "server": DEFAULT_LAG_LIMIT}
    with (
        served_upstreams(*upstreams),
        observed_gateway(settings_with(providers=provider_tables(upstreams), **settings)) as gateway,
    ):
        return asyncio.run(_call_all(gateway.target))


def _limited_at_first() -> Responder:
    """Ask every caller to wait until ADVICE_SECONDS have passed since the first request."""
    begins: list[float] = []

    def respond(request: Request) -> Sequence[Step]:
        begins.append(request.received_at)
        is_limited = request.received_at < begins[0] + ADVICE_SECONDS - 0.1
        advice = f"Retry-After: {ADVICE_SECONDS:g}"
        return (fails(429, "Slow down.", advice) if is_limited else responds())(request)

    return respond


async def _call_all(target: str) -> list[CallResult]:
    client = Client(target)
    calls = [(client.stream if number % 2 else client.generate)("busy/m", FALLBACK) for number in range(CALLS)]
    results = await asyncio.gather(*map(client.result, calls))
    await client.channel.close()
    return list(results)


def _at_the_fallback(results: list[CallResult]) -> int:
    return sum(result.attempts_at("spare") for result in results)
