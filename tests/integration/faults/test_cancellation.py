"""Cancelled calls: the upstream connection is closed at once, and no work continues."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from aimanager_server.resilience.concurrency_limiter import ConcurrencyLimiter
from tests.integration.faults.fault_catalog import fails, interrupts, responds, stalls
from tests.integration.faults.gateway import FALLBACK, Gateway, gateway, text_of, wait_until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Responder, Upstream
from tests.integration.faults.wires import TEXT
from tests.support.http_servers.raw import SocketFault

CANCELS = 20
PROMPT_SECONDS = 3.0
"""Less than any timeout after which the connection would be closed anyway; `make chaos` measures how long it takes."""
StartCall = Callable[[Gateway, Upstream], Any]


def seconds_to_release(call: Any, upstream: Upstream) -> float:
    """Cancel a call and return the seconds until its upstream connection is closed."""
    connection = upstream.requests[-1].connection
    cancelled_at = time.monotonic()
    call.cancel()
    wait_until(lambda: connection.peer_closed_at is not None)
    assert connection.peer_closed_at is not None
    return connection.peer_closed_at - cancelled_at


def waiting_for_the_first_token(server: Gateway, upstream: Upstream) -> Any:
    """Start a unary call that waits for its first token."""
    known = len(upstream.requests)
    call = server.start_call()
    wait_until(lambda: len(upstream.requests) > known)
    return call


def in_mid_stream(server: Gateway, upstream: Upstream) -> Any:
    """Start a stream and read its first text."""
    call = server.start_stream()
    while not next(call).delta.text:
        pass
    return call


def unary_streamed_from_upstream(server: Gateway, upstream: Upstream) -> Any:
    """Start a unary call that is streamed from the upstream, which stalls within the response."""
    known = len(upstream.requests)
    call = server.start_call(fallback_models=FALLBACK)
    wait_until(lambda: len(upstream.requests) > known)
    return call


@scenario(27)
@pytest.mark.parametrize(
    ("start", "responder"),
    [
        (waiting_for_the_first_token, stalls()),
        (in_mid_stream, interrupts(20, SocketFault.STALL)),
        (unary_streamed_from_upstream, interrupts(20, SocketFault.STALL)),
    ],
    ids=["waiting_for_the_first_token", "in_mid_stream", "unary_streamed_from_upstream"],
)
@pytest.mark.parametrize("wire", ["chat_completions", "anthropic"])
def test_cancellation_closes_the_upstream_connection_at_once(start: StartCall, responder: Responder, wire: str) -> None:
    first, second = Upstream(responder, wire=wire), Upstream(responds())

    with gateway(first, second) as server:
        seconds = [seconds_to_release(start(server, first), first) for _ in range(CANCELS)]
        wait_until(lambda: server.requests_in_flight() == 0)

    assert max(seconds) <= PROMPT_SECONDS
    assert first.open_connections == 0
    assert second.requests == []


def _is_a_call_queued() -> bool:
    return any(isinstance(one, ConcurrencyLimiter) and one.queued for one in gc.get_objects())


@scenario(27)
def test_a_call_cancelled_in_the_admission_queue_reaches_no_upstream() -> None:
    first = Upstream(stalls(), responds())
    one_at_a_time = {"max_in_flight": 1, "queue_timeout_seconds": 20.0}

    with gateway(first, server=one_at_a_time) as server:
        holder = server.start_call()
        wait_until(lambda: len(first.requests) == 1)
        queued = server.start_call()
        wait_until(_is_a_call_queued)
        queued.cancel()
        wait_until(lambda: not _is_a_call_queued())  # else the server may read the other cancellation first
        seconds_to_release(holder, first)
        response = server.generate()

    assert queued.cancelled()
    assert text_of(response) == TEXT
    assert len(first.requests) == 2


@scenario(27)
def test_a_call_cancelled_while_waiting_for_a_pooled_connection_reaches_no_upstream() -> None:
    first = Upstream(stalls(), responds(), max_connections=1, connect_timeout_seconds=20.0)

    with gateway(first) as server:
        holder = server.start_call()
        wait_until(lambda: len(first.requests) == 1)
        waiting = server.start_call()
        wait_until(lambda: server.requests_in_flight() == 2)
        waiting.cancel()
        wait_until(lambda: server.requests_in_flight() == 1)  # else the server may read the other cancellation first
        seconds_to_release(holder, first)
        response = server.generate()

    assert text_of(response) == TEXT
    assert len(first.requests) == 2


@scenario(27)
def test_a_call_cancelled_during_backoff_is_not_retried() -> None:
    first = Upstream(fails(503, "Not now.", "Retry-After: 30"))

    with gateway(first) as server:
        call = server.start_call(timeout=60.0)
        wait_until(lambda: server.health().last_error_reason != "")
        in_flight = server.requests_in_flight()
        call.cancel()
        wait_until(lambda: server.requests_in_flight() == 0)

    assert in_flight == 1
    assert len(first.requests) == 1


@scenario(27)
def test_an_expired_deadline_closes_the_upstream_connection() -> None:
    first = Upstream(stalls())

    with gateway(first) as server:
        call = server.start_call(timeout=0.2)
        assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: first.open_connections == 0)
        wait_until(lambda: server.requests_in_flight() == 0)

    assert len(first.requests) == 1
