"""An event loop that is held up sheds new calls instead of letting all of them time out."""

from __future__ import annotations

import threading
import time

import grpc

from tests.integration.faults.fault_catalog import says
from tests.integration.faults.gateway import gateway, until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.support.rpc_errors import Refusal

BLOCK_SECONDS = 2.0
CALLS = 40


def _block(is_blocked: threading.Event) -> None:
    is_blocked.set()
    time.sleep(BLOCK_SECONDS)  # what a library that does not belong on the loop would do


@scenario(34)
def test_calls_that_come_while_the_loop_is_blocked_are_told_to_come_again() -> None:
    first = Upstream(says())

    with gateway(first, server={"shed_lag_seconds": 0.2}) as server:
        server.answer()
        is_blocked = threading.Event()
        server.loop.call_soon_threadsafe(_block, is_blocked)
        is_blocked.wait()
        calls = [server.ask() for _ in range(CALLS)]
        failures = [Refusal(one.exception()) for one in calls if one.exception() is not None]
        until(lambda: server.ask().exception() is None)

    assert failures
    assert {failure.code for failure in failures} == {grpc.StatusCode.UNAVAILABLE}
    assert {failure.reason for failure in failures} == {"OVERLOADED"}
    assert all(int(failure.trailers["grpc-retry-pushback-ms"]) > 0 for failure in failures)


@scenario(34)
def test_a_call_under_way_survives_a_blocked_loop() -> None:
    first = Upstream(says(late=0.1))

    with gateway(first, server={"shed_lag_seconds": 0.2}, patience={"first_token_seconds": 9.0}) as server:
        call = server.ask()
        until(lambda: bool(first.requests))
        server.loop.call_soon_threadsafe(time.sleep, 0.5)

        assert call.exception() is None


@scenario(34)
def test_a_loop_that_is_on_time_sheds_nothing() -> None:
    first = Upstream(says())

    with gateway(first, server={"shed_lag_seconds": 0.2}) as server:
        calls = [server.ask() for _ in range(CALLS)]

        assert [one.exception() for one in calls] == [None] * CALLS
