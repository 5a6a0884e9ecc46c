"""Callers that read slowly slow the upstream down: nothing piles up between the two."""

from __future__ import annotations

import time

from tests.integration.faults.fault_catalog import floods
from tests.integration.faults.gateway import LIMIT, gateway, until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Upstream
from tests.integration.faults.wires import chat_event

MIB = 1024 * 1024
BETWEEN = 40 * MIB
"""What sockets and flow-control windows may hold; without a bound it would be hundreds in the time given."""

LARGE = chat_event({"content": "x" * 60_000})


def settled(upstream: Upstream) -> bool:
    """The upstream could not send for a while."""
    sent = upstream.links[0].sent
    time.sleep(LIMIT)
    return upstream.links[0].sent == sent


@scenario(29, 21)
def test_a_slow_caller_stops_the_upstream() -> None:
    first = Upstream(floods(LARGE))
    unbounded = {"response_bytes": 1024 * MIB}

    with gateway(first, limits=unbounded) as server:
        call = server.open_stream(seconds=30.0)
        next(call)
        until(lambda: settled(first))
        held = first.links[0].sent
        # What the caller does not read for longer than the idle limit is no silence of the provider's.
        time.sleep(LIMIT)
        for _ in range(2 * held // len(LARGE)):
            next(call)
        went_on = first.links[0].sent
        call.cancel()
        until(lambda: first.links[0].left_at is not None)

    assert held < BETWEEN
    assert went_on > held


@scenario(29)
def test_a_slow_caller_does_not_slow_another() -> None:
    first = Upstream(floods(LARGE))

    with gateway(first, limits={"response_bytes": 1024 * MIB}) as server:
        slow = server.open_stream(seconds=30.0)
        next(slow)
        until(lambda: settled(first))
        quick = server.open_stream(seconds=30.0)
        received = sum(len(next(quick).delta.text) for _ in range(100))
        slow.cancel()
        quick.cancel()

    assert received > MIB
