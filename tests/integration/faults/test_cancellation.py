"""Callers that go away: the upstream is let go of at once, and nothing of the call stays behind."""

from __future__ import annotations

import gc
import time
from typing import Any

import grpc
import pytest

from aimanager_server.resilience.concurrency_limiter import Gate
from tests.integration.faults.fault_catalog import breaks_off, keeps_silent, refuses, says
from tests.integration.faults.gateway import NEXT, Gateway, gateway, text_of, until
from tests.integration.faults.scenarios import scenario
from tests.integration.faults.upstream import Act, Upstream
from tests.integration.faults.wires import TEXT

PATIENT = {"first_token_seconds": 60.0, "idle_text_seconds": 60.0, "idle_reasoning_seconds": 60.0}
CANCELS = 50
PROMPTLY_SECONDS = 0.1


def cancelled(call: Any, upstream: Upstream) -> float:
    """Seconds from the cancelling of a call to the end of its connection upstream."""
    link = upstream.requests[-1].link
    began = time.monotonic()
    call.cancel()
    until(lambda: link.left_at is not None)
    assert link.left_at is not None
    return link.left_at - began


def at_p99(seconds: list[float]) -> float:
    """What 99 % of them stay below."""
    return sorted(seconds)[round(len(seconds) * 0.99) - 1]


def asked_whole(server: Gateway, upstream: Upstream) -> Any:
    """A call that waits for its first token."""
    known = len(upstream.requests)
    call = server.ask(seconds=30.0)
    until(lambda: len(upstream.requests) > known)
    return call


def asked_streaming(server: Gateway, upstream: Upstream) -> Any:
    """A stream that has begun."""
    call = server.open_stream(seconds=30.0)
    while not next(call).delta.text:
        pass
    return call


def asked_with_another(server: Gateway, upstream: Upstream) -> Any:
    """A whole answer that is streamed underneath, in its middle."""
    known = len(upstream.requests)
    call = server.ask(seconds=30.0, fallback_models=NEXT)
    until(lambda: len(upstream.requests) > known)
    return call


@scenario(27)
@pytest.mark.parametrize("asked", [asked_whole, asked_streaming, asked_with_another])
@pytest.mark.parametrize("wire", ["chat_completions", "claude"])
def test_a_call_that_is_cancelled_lets_go_of_the_upstream_at_once(asked: Any, wire: str) -> None:
    misdeed = keeps_silent() if asked is asked_whole else breaks_off(20, Act.SILENCE)
    first, second = Upstream(misdeed, wire=wire), Upstream(says())

    with gateway(first, second, patience=PATIENT) as server:
        seconds = [cancelled(asked(server, first), first) for _ in range(CANCELS)]
        until(lambda: server.in_flight() == 0)

    assert at_p99(seconds) <= PROMPTLY_SECONDS
    assert first.open_now == 0
    assert second.requests == []


def _somebody_queues() -> bool:
    return any(isinstance(one, Gate) and one.waiting for one in gc.get_objects())


@scenario(27)
def test_a_call_that_is_cancelled_while_it_queues_reaches_nobody() -> None:
    first = Upstream(keeps_silent(), says())
    narrow = {"max_in_flight": 1, "queue_seconds": 20.0}

    with gateway(first, patience=PATIENT, server=narrow) as server:
        held = server.ask(seconds=30.0)
        until(lambda: len(first.requests) == 1)
        queued = server.ask(seconds=30.0)
        until(_somebody_queues)
        queued.cancel()
        cancelled(held, first)
        after = server.answer()

    assert queued.cancelled()
    assert text_of(after) == TEXT
    assert len(first.requests) == 2


@scenario(27)
def test_a_call_that_is_cancelled_while_it_waits_for_a_connection_reaches_nobody() -> None:
    first = Upstream(keeps_silent(), says(), max_connections=1, connect_timeout_seconds=20.0)

    with gateway(first, patience=PATIENT) as server:
        held = server.ask(seconds=30.0)
        until(lambda: len(first.requests) == 1)
        waiting = server.ask(seconds=30.0)
        until(lambda: server.in_flight() == 2)
        waiting.cancel()
        cancelled(held, first)
        after = server.answer()

    assert text_of(after) == TEXT
    assert len(first.requests) == 2


@scenario(27)
def test_a_call_that_is_cancelled_between_two_attempts_makes_no_second() -> None:
    first = Upstream(refuses(429, "Slow down.", "Retry-After: 1"))

    with gateway(first) as server:
        call = server.ask(seconds=30.0)
        until(lambda: len(first.requests) == 1)
        time.sleep(0.05)
        began = time.monotonic()
        call.cancel()
        until(lambda: server.in_flight() == 0)
        seconds = time.monotonic() - began
        time.sleep(max(0.0, 1.2 - seconds))

    assert seconds < 0.9
    assert len(first.requests) == 1


@scenario(27)
def test_a_deadline_that_passes_lets_go_of_the_upstream_too() -> None:
    first = Upstream(keeps_silent())

    with gateway(first, patience=PATIENT) as server:
        call = server.ask(seconds=0.3)
        assert call.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: first.open_now == 0)
        until(lambda: server.in_flight() == 0)

    assert len(first.requests) == 1
