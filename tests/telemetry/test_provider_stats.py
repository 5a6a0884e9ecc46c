import asyncio

from aimanager_server.telemetry.provider_stats import MOST_SAMPLES, WINDOW_SECONDS, Vitals
from tests.support.calls import FakeClock, settle


def test_outcomes_make_latencies_and_an_error_rate() -> None:
    clock = FakeClock()
    vitals = Vitals(clock, lambda: 50.0)
    for number in range(1, 20):
        vitals.answered("claude", float(number))
    vitals.failed("claude", "PROVIDER_ERROR", "Wait.")

    pulse = vitals.pulse("claude")

    assert pulse.latency(0.5) == 10.0
    assert pulse.latency(0.95) == 19.0
    assert pulse.error_rate() == 1 / 20
    assert (pulse.last_success_at, pulse.last_failure_at) == (50.0, 50.0)
    assert (pulse.last_error_reason, pulse.last_solution) == ("PROVIDER_ERROR", "Wait.")


def test_without_evidence_there_are_no_figures() -> None:
    pulse = Vitals(FakeClock(), FakeClock()).pulse("claude")

    assert pulse.latency(0.5) is None
    assert pulse.error_rate() == 0.0


def test_old_samples_are_forgotten() -> None:
    clock = FakeClock()
    vitals = Vitals(clock, clock)
    vitals.failed("claude", "PROVIDER_ERROR", "")

    clock.advance(WINDOW_SECONDS + 1)

    assert vitals.pulse("claude").error_rate() == 0.0


def test_memory_is_bounded() -> None:
    vitals = Vitals(FakeClock(), FakeClock())

    for _ in range(MOST_SAMPLES + 10):
        vitals.answered("claude", 1.0)

    assert len(vitals.pulse("claude").samples) == MOST_SAMPLES


async def test_every_outcome_wakes_every_watcher() -> None:
    vitals = Vitals(FakeClock(), FakeClock())
    watchers = [asyncio.create_task(vitals.changed(3600)) for _ in range(2)]
    await settle()

    vitals.answered("claude", 1.0)
    await settle()

    assert all(watcher.done() for watcher in watchers)


async def test_a_quiet_wait_ends_by_itself() -> None:
    vitals = Vitals(FakeClock(), FakeClock())

    await vitals.changed(0)
