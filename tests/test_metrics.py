import asyncio

from prometheus_client import generate_latest

from aimanager_server.metrics import LAG_INTERVAL_SECONDS, Metrics
from questions import labels, settle


def test_two_servers_do_not_share_series() -> None:
    first, second = Metrics(lambda *_: True), Metrics(lambda *_: True)

    first.outcomes("mock", "m").unary.inc()

    assert labels(second.registry, "aimanager_requests_total", provider="mock", model="m", method="unary") == 0


def test_an_rpc_is_timed_by_method_and_code() -> None:
    metrics = Metrics(lambda *_: True)

    metrics.rpc_finished("aimanager.v1.GenerationService/Generate", "OK", 0.5)

    assert b'rpc_method="aimanager.v1.GenerationService/Generate"' in generate_latest(metrics.registry)


async def test_a_blocked_loop_shows_as_lag() -> None:
    metrics = Metrics(lambda *_: True)
    loop = asyncio.get_running_loop()
    watch = asyncio.create_task(metrics.watch_loop())
    await settle()

    until = loop.time() + LAG_INTERVAL_SECONDS + 0.1
    while loop.time() < until:
        pass  # what a blocking library does
    await settle()

    assert labels(metrics.registry, "aimanager_loop_lag_seconds") > 0.05
    watch.cancel()
