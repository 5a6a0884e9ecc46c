"""Recent outcomes by provider."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.core.attempts import AttemptEffect, AttemptRecord
from aimanager_server.telemetry.provider_stats import MAX_SAMPLES, WINDOW_SECONDS, ProviderStats
from tests.support.clock import FakeClock
from tests.support.event_loop import run_ready_tasks


def test_window_reports_latencies_and_error_rate() -> None:
    stats = ProviderStats(FakeClock(), lambda: 50.0)
    for number in range(1, 20):
        stats.record_success("claude", float(number))
    stats.record_failure("claude", "PROVIDER_ERROR", "Wait.")

    window = stats.window("claude")

    assert window.latency(0.5) == 10.0
    assert window.latency(0.95) == 19.0
    assert window.error_rate() == 1 / 20
    assert (window.last_success_at, window.last_failure_at) == (50.0, 50.0)
    assert (window.last_error_reason, window.last_solution) == ("PROVIDER_ERROR", "Wait.")


def test_empty_window_has_no_latency_and_no_errors() -> None:
    window = ProviderStats(FakeClock(), FakeClock()).window("claude")

    assert window.latency(0.5) is None
    assert window.error_rate() == 0.0


def test_samples_expire() -> None:
    clock = FakeClock()
    stats = ProviderStats(clock, clock)
    stats.record_failure("claude", "PROVIDER_ERROR", "")

    clock.advance(WINDOW_SECONDS + 1)

    assert stats.window("claude").error_rate() == 0.0


def test_samples_per_provider_are_bounded() -> None:
    stats = ProviderStats(FakeClock(), FakeClock())

    for _ in range(MAX_SAMPLES + 10):
        stats.record_success("claude", 1.0)

    assert len(stats.window("claude").samples) == MAX_SAMPLES


async def test_outcome_wakes_every_waiter() -> None:
    stats = ProviderStats(FakeClock(), FakeClock())
    waiters = [asyncio.create_task(stats.wait_for_change(3600)) for _ in range(2)]
    await run_ready_tasks()

    stats.record_success("claude", 1.0)
    await run_ready_tasks()

    assert all(waiter.done() for waiter in waiters)


async def test_wait_without_a_change_times_out() -> None:
    stats = ProviderStats(FakeClock(), FakeClock())

    await stats.wait_for_change(0)


def ended_record(effect: AttemptEffect) -> AttemptRecord:
    record = AttemptRecord("claude", "opus", 999.0)
    record.sent_at, record.effect, record.solution = 1000.0, effect, "Wait."
    record.end(1003.0, "" if effect == "success" else "PROVIDER_ERROR")
    return record


def test_complete_attempt_is_a_success_with_the_latency_since_it_was_sent() -> None:
    stats = ProviderStats(FakeClock(), lambda: 50.0)

    stats.attempt_ended(ended_record("success"))

    window = stats.window("claude")
    assert (window.latency(0.5), window.error_rate(), window.last_success_at) == (3.0, 0.0, 50.0)


@pytest.mark.parametrize("effect", ["failure", "credentials", "rate_limited"])
def test_failure_caused_by_the_provider_is_recorded_with_reason_and_solution(effect: AttemptEffect) -> None:
    stats = ProviderStats(FakeClock(), FakeClock())

    stats.attempt_ended(ended_record(effect))

    window = stats.window("claude")
    assert window.error_rate() == 1.0
    assert (window.last_error_reason, window.last_solution) == ("PROVIDER_ERROR", "Wait.")


def test_failure_not_caused_by_the_provider_is_not_recorded() -> None:
    stats = ProviderStats(FakeClock(), FakeClock())

    stats.attempt_started(ended_record("none"))
    stats.attempt_ended(ended_record("none"))

    assert not stats.window("claude").samples
