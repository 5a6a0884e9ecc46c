"""Load shedding: a blocked event loop rejects new calls instead of letting all calls time out."""

from __future__ import annotations

import threading
import time

import grpc

from tests.integration.faults.fault_catalog import responds
from tests.integration.faults.gateway import gateway, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.support.rpc_errors import RpcFailure

MAX_LAG = {"max_event_loop_lag_seconds": 0.2}
BLOCK_SECONDS = 0.8
CALLS = 40


def _block(is_blocked: threading.Event) -> None:
    is_blocked.set()
    time.sleep(BLOCK_SECONDS)  # as a blocking library call on the event loop would


@scenario(34)
def test_calls_during_a_blocked_event_loop_are_rejected_as_overloaded() -> None:
    first = Upstream(responds())

    with gateway(first, server=MAX_LAG) as server:
        server.generate()
        is_blocked = threading.Event()
        server.loop.call_soon_threadsafe(_block, is_blocked)
        is_blocked.wait()
        calls = [server.start_call() for _ in range(CALLS)]
        failures = [RpcFailure(call.exception()) for call in calls if call.exception() is not None]
        wait_until(lambda: server.start_call().exception() is None)

    assert failures
    assert {failure.code for failure in failures} == {grpc.StatusCode.UNAVAILABLE}
    assert {failure.reason for failure in failures} == {"OVERLOADED"}
    assert all(int(failure.trailers["grpc-retry-pushback-ms"]) > 0 for failure in failures)


@scenario(34)
def test_a_call_in_flight_survives_a_blocked_event_loop() -> None:
    first = Upstream(responds(delay=0.1))

    with gateway(first, server=MAX_LAG) as server:
        call = server.start_call()
        wait_until(lambda: bool(first.requests))
        server.loop.call_soon_threadsafe(time.sleep, 0.4)

        assert call.exception() is None


@scenario(34)
def test_a_responsive_event_loop_rejects_nothing() -> None:
    first = Upstream(responds())

    with gateway(first, server={"max_event_loop_lag_seconds": 2.0}) as server:
        calls = [server.start_call() for _ in range(CALLS)]

        assert [call.exception() for call in calls] == [None] * CALLS
