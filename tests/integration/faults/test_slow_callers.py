"""Backpressure: a slow caller slows its upstream down, and buffers stay bounded."""

from __future__ import annotations

import time

from tests.integration.faults.fault_catalog import floods
from tests.integration.faults.gateway import SHORT_IDLE_TIMEOUTS, SHORT_TIMEOUT, gateway, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import chat_event

MIB = 1024 * 1024
BUFFERS = 40 * MIB
"""Upper bound of what sockets and flow-control windows hold; an unbounded buffer would hold hundreds of MiB."""

LARGE_EVENT = chat_event({"content": "x" * 60_000})
NO_SIZE_LIMIT = {"max_response_bytes": 1024 * MIB}


def is_blocked(upstream: Upstream) -> bool:
    """Return whether the upstream could not send anything for a while."""
    sent = upstream.connections[0].bytes_sent
    time.sleep(SHORT_TIMEOUT)
    return upstream.connections[0].bytes_sent == sent


@scenario(29, 21)
def test_a_slow_caller_blocks_the_upstream_without_an_idle_timeout() -> None:
    first = Upstream(floods(LARGE_EVENT))

    with gateway(first, limits=NO_SIZE_LIMIT, stream_timeouts=SHORT_IDLE_TIMEOUTS) as server:
        call = server.start_stream(timeout=30.0)
        next(call)
        wait_until(lambda: is_blocked(first))
        buffered = first.connections[0].bytes_sent
        time.sleep(SHORT_TIMEOUT)  # longer than the idle timeout, during which the provider is not silent
        for _ in range(2 * buffered // len(LARGE_EVENT)):
            next(call)
        sent_after_reading = first.connections[0].bytes_sent
        call.cancel()
        wait_until(lambda: first.connections[0].peer_closed_at is not None)

    assert buffered < BUFFERS
    assert sent_after_reading > buffered


@scenario(29)
def test_a_slow_caller_does_not_slow_other_callers() -> None:
    first = Upstream(floods(LARGE_EVENT))

    with gateway(first, limits=NO_SIZE_LIMIT) as server:
        slow = server.start_stream(timeout=30.0)
        next(slow)
        wait_until(lambda: is_blocked(first))
        fast = server.start_stream(timeout=30.0)
        received = sum(len(next(fast).delta.text) for _ in range(100))
        slow.cancel()
        fast.cancel()

    assert received > MIB
