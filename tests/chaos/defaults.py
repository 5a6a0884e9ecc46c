"""What the default settings promise: how soon a call falls back from a silent, failing or unreachable provider."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable
from typing import Any

from aimanager_server.providers.http.dns_cache import CachingResolver
from tests.chaos.environment import ObservedGateway, observed_gateway
from tests.chaos.outage import PortForwarder, Primary, outages
from tests.chaos.report import Report
from tests.chaos.requests import DEFAULT_LAG_LIMIT, CallResult, Client, provider_tables
from tests.integration.faults.fault_catalog import (
    fails,
    interrupts,
    pings,
    responds,
    sends,
    stalls,
    stalls_after_headers,
)
from tests.integration.faults.socket_faults import served_upstreams
from tests.integration.faults.upstream import Delay, Upstream
from tests.integration.faults.wires import TEXT, stream_headers
from tests.support.gateway import settings_with
from tests.support.http_servers.blackhole import black_hole
from tests.support.http_servers.raw import SocketFault

FALLBACK = "spare/m"
TIMEOUT_SECONDS = 11.0
UNREACHABLE_SECONDS = 2.5
UNRESOLVED_HOST = "lost.example"


def defaults(seconds: float) -> Report:
    """Check every promise of the default settings concurrently, during outages of `seconds`."""
    report = Report()
    late = sends(stream_headers(), Delay(60.0))
    rate_limited = (fails(429, "Slow down.", "Retry-After: 2"), responds())
    scripts = {
        "silent": (stalls(),),
        "silent_stream": (stalls_after_headers(),),
        "pinging": (pings(interval=0.5),),
        "late": (late,),
        "late_stream": (late,),
        "stalled": (interrupts(20, SocketFault.STALL),),
        "stalled_stream": (interrupts(20, SocketFault.STALL),),
        "stalled_restart": (interrupts(20, SocketFault.STALL),),
        "failing": (fails(503),),
        "failing_stream": (fails(503),),
        "rate_limited": rate_limited,
        "rate_limited_with_fallback": rate_limited,
        "spare": (responds(),),
    }
    upstreams = {name: Upstream(*script, name=name) for name, script in scripts.items()}
    upstreams["black_hole"] = Upstream(name="black_hole")
    upstreams["unresolved"] = Upstream(
        name="unresolved", base_url=f"http://{UNRESOLVED_HOST}/v1", allow_plaintext=True
    )  # fmt: skip
    primaries = [Primary("probes_fail"), Primary("probes_succeed"), Primary("unreachable")]
    everything = [*upstreams.values(), *primaries]
    with served_upstreams(*everything), black_hole() as port, PortForwarder(primaries[2].port) as forwarder:
        primaries[2].settings["base_url"] = f"http://127.0.0.1:{forwarder.port}/v1"
        upstreams["black_hole"].settings["base_url"] = f"http://127.0.0.1:{port}/v1"
        with observed_gateway(
            settings_with(providers=provider_tables(everything), server=DEFAULT_LAG_LIMIT)
        ) as gateway:
            _stall_name_resolution(gateway)
            asyncio.run(_run(gateway, upstreams, primaries, forwarder, seconds, report))
    return report


def _stall_name_resolution(gateway: ObservedGateway) -> None:
    """Make the resolution of one host take longer than the connect timeout."""

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == UNRESOLVED_HOST:
            time.sleep(8.0)
        return socket.getaddrinfo(host, *args, **kwargs)

    for resolver in gateway.instances(CachingResolver):
        resolver._getaddrinfo = look_up


async def _run(
    gateway: ObservedGateway,
    upstreams: dict[str, Upstream],
    primaries: list[Primary],
    forwarder: PortForwarder,
    seconds: float,
    report: Report,
) -> None:
    client = Client(gateway.target)
    await asyncio.gather(
        outages(client, primaries, forwarder, seconds, report),
        _check_first_token_timeout(client, upstreams, report),
        _check_idle_timeout(client, report),
        _check_errors(client, upstreams, report),
        _check_unreachable(client, report),
    )
    await client.channel.close()


async def _check_first_token_timeout(client: Client, upstreams: dict[str, Upstream], report: Report) -> None:
    calls = {
        "silent": client.generate("silent/m", FALLBACK),
        "silent_stream": client.stream("silent_stream/m", FALLBACK),
        "pinging": client.stream("pinging/m", FALLBACK),
        "late": client.generate("late/m", FALLBACK),
        "late_stream": client.stream("late_stream/m", FALLBACK),
    }
    for name, result in (await _results(client, calls)).items():
        _check_complete(name, result, report)
        report.at_most(f"defaults: {name}: response after, s", result.seconds, TIMEOUT_SECONDS)
        report.at_most(f"defaults: {name}: attempts", len(upstreams[name].requests), 1)


async def _check_idle_timeout(client: Client, report: Report) -> None:
    calls = {
        "stalled": client.generate("stalled/m", FALLBACK),
        "stalled_stream": client.stream("stalled_stream/m", FALLBACK),
        "stalled_restart": client.stream("stalled_restart/m", FALLBACK, restart=True),
    }
    results = await _results(client, calls)
    interrupted = results.pop("stalled_stream")
    if (interrupted.code, interrupted.reason) != ("ABORTED", "STREAM_INTERRUPTED"):
        report.violation(f"defaults: stalled_stream: ended with {interrupted.code} {interrupted.reason}")
    report.at_most("defaults: stalled_stream: detected after, s", interrupted.longest_gap, TIMEOUT_SECONDS)
    for name, result in results.items():
        _check_complete(name, result, report)
        report.at_most(f"defaults: {name}: response after, s", result.seconds, TIMEOUT_SECONDS)
    if results["stalled_restart"].event_types.count("restarted") != 1:
        report.violation("defaults: stalled_restart: not restarted")


async def _check_errors(client: Client, upstreams: dict[str, Upstream], report: Report) -> None:
    calls = {
        "failing": client.generate("failing/m", FALLBACK),
        "failing_stream": client.stream("failing_stream/m", FALLBACK),
        "rate_limited": client.generate("rate_limited/m"),
        "rate_limited_with_fallback": client.generate("rate_limited_with_fallback/m", FALLBACK),
    }
    results = await _results(client, calls)
    for name, result in results.items():
        _check_complete(name, result, report)
    for name in ("failing", "failing_stream"):
        report.at_most(f"defaults: {name}: response after, s", results[name].seconds, UNREACHABLE_SECONDS)
        report.at_most(f"defaults: {name}: attempts", len(upstreams[name].requests), 3)
    report.at_least("defaults: rate limited, no fallback: waited, s", results["rate_limited"].seconds, 2.0)
    with_fallback = results["rate_limited_with_fallback"].seconds
    report.at_most("defaults: rate limited, with fallback: response after, s", with_fallback, 1.0)


async def _check_unreachable(client: Client, report: Report) -> None:
    calls = {name: client.generate(f"{name}/m", FALLBACK) for name in ("black_hole", "unresolved")}
    for name, result in (await _results(client, calls)).items():
        _check_complete(name, result, report)
        report.at_most(f"defaults: {name}: response after, s", result.seconds, UNREACHABLE_SECONDS)
        report.record(f"defaults: {name}: attempts", result.attempts_at(name))


async def _results(client: Client, calls: dict[str, Awaitable[Any]]) -> dict[str, CallResult]:
    results = await asyncio.gather(*map(client.result, calls.values()))
    return dict(zip(calls, results, strict=True))


def _check_complete(name: str, result: CallResult, report: Report) -> None:
    if result.text != TEXT:
        report.violation(f"defaults: {name}: no complete response: {result}")
