"""Health reports of providers, with and without several keys."""

from __future__ import annotations

import asyncio

import pytest

from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.core.errors import ProviderNotFound
from aimanager_server.core.request import CALLER_KEY_ID
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from aimanager_server.resilience.circuit_breaker import CircuitState
from aimanager_server.resilience.provider_health import (
    PROBE_INTERVAL_SECONDS,
    ProviderHealth,
    ProviderReport,
    ProviderStatus,
)
from aimanager_server.telemetry.provider_stats import ProviderStats
from tests.support.clock import FakeClock
from tests.support.prober import UNREACHABLE, ProbedProvider


class HealthSetup:
    """The providers "mock" and "claude", the latter without an API key."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = BreakerRegistry(CircuitBreakerSettings(), RetrySettings(), self.clock)
        self.stats = ProviderStats(self.clock, self.clock)
        self.providers = {"mock": ProbedProvider(), "claude": ProbedProvider()}
        self.health = ProviderHealth(self.breakers, self.stats, self.clock, self.clock)
        self.health.replace_providers(self.providers, {"claude": "Set ANTHROPIC_API_KEY."})

    @property
    def report(self) -> ProviderReport:
        return self.health.report("mock")

    def use_keys(self) -> None:
        """Create the breakers of two keys of the server."""
        for key_id in ("1", "2"):
            for model in ("", "m"):
                self.breakers.get("mock", model, key_id)


@pytest.fixture
def setup() -> HealthSetup:
    return HealthSetup()


def test_provider_without_data_is_unknown(setup: HealthSetup) -> None:
    assert setup.report == ProviderReport("mock", ProviderStatus.UNKNOWN)


def test_provider_without_a_key_is_not_configured_and_reports_the_solution(setup: HealthSetup) -> None:
    report = setup.health.report("claude")

    assert (report.status, report.solution) == (ProviderStatus.NOT_CONFIGURED, "Set ANTHROPIC_API_KEY.")
    assert not setup.health.is_available("claude", "any")


def test_successes_are_healthy_and_an_error_rate_of_a_tenth_is_degraded(setup: HealthSetup) -> None:
    for _ in range(9):
        setup.stats.record_success("mock", 1.5)
    before = setup.report.status

    setup.stats.record_failure("mock", "PROVIDER_ERROR", "Wait.")

    assert before is ProviderStatus.HEALTHY
    report = setup.report
    assert (report.status, report.error_rate, report.latency_p50) == (ProviderStatus.DEGRADED, 0.1, 1.5)
    assert (report.last_error_reason, report.solution) == ("PROVIDER_ERROR", "Wait.")


def test_worst_breaker_determines_the_report(setup: HealthSetup) -> None:
    setup.breakers.get("mock", "good")
    setup.breakers.get("mock", "bad").open_for(10)

    report = setup.report

    assert (report.status, report.circuit_state) == (ProviderStatus.DOWN, CircuitState.OPEN)
    assert (report.opened_at, report.retry_at) == (setup.clock.time, setup.clock.time + 10)
    assert report.solution == "Circuit breaker not closed for: bad."
    assert setup.health.is_available("mock", "good")
    assert not setup.health.is_available("mock", "bad")


def test_half_open_breaker_degrades_the_provider(setup: HealthSetup) -> None:
    setup.breakers.get("mock", "bad").open_for(10)

    setup.clock.advance(10)

    assert setup.report.status is ProviderStatus.DEGRADED
    assert setup.health.circuit_state("mock") is CircuitState.HALF_OPEN
    assert setup.health.circuit_state("claude") is CircuitState.CLOSED


async def test_failed_probe_degrades_until_it_is_outdated(setup: HealthSetup) -> None:
    healthy = await setup.health.probe("mock")
    setup.providers["mock"].probe_error = UNREACHABLE
    setup.clock.advance(PROBE_INTERVAL_SECONDS)

    failed = await setup.health.probe("mock")
    setup.clock.advance(301)

    assert (healthy.status, failed.status) == (ProviderStatus.HEALTHY, ProviderStatus.DEGRADED)
    assert "base_url" in failed.solution
    assert setup.report.status is ProviderStatus.UNKNOWN


async def test_requested_probes_share_one_request_per_interval(setup: HealthSetup) -> None:
    await asyncio.gather(*(setup.health.probe("mock") for _ in range(50)))
    setup.clock.advance(PROBE_INTERVAL_SECONDS - 1)
    await setup.health.probe("mock")

    assert setup.providers["mock"].probes == 1

    setup.clock.advance(1)
    await setup.health.probe("mock")
    assert setup.providers["mock"].probes == 2


async def test_success_after_a_failed_probe_is_healthy(setup: HealthSetup) -> None:
    setup.providers["mock"].probe_error = UNREACHABLE
    await setup.health.probe("mock")
    setup.clock.advance(1)

    setup.stats.record_success("mock", 1.0)

    assert setup.report.status is ProviderStatus.HEALTHY


async def test_provider_without_a_key_is_not_probed(setup: HealthSetup) -> None:
    report = await setup.health.probe("claude")

    assert report.status is ProviderStatus.NOT_CONFIGURED
    assert setup.providers["claude"].probes == 0


async def test_watch_yields_the_current_report_then_each_change(setup: HealthSetup) -> None:
    watch = setup.health.watch(("mock",))
    statuses = [(await anext(watch)).status]

    setup.stats.record_success("mock", 1.0)
    statuses.append((await anext(watch)).status)
    setup.breakers.get("mock", "m").open_for(10)
    setup.stats.record_failure("mock", "PROVIDER_ERROR", "")
    statuses.append((await anext(watch)).status)

    assert statuses == [ProviderStatus.UNKNOWN, ProviderStatus.HEALTHY, ProviderStatus.DOWN]


async def test_watch_skips_no_circuit_state(setup: HealthSetup) -> None:
    watch = setup.health.watch(("mock",))
    await anext(watch)
    breaker = setup.breakers.get("mock", "m")

    breaker.open_for(10)
    setup.clock.advance(10)
    breaker.try_acquire()
    breaker.record_first_content(breaker.generation)

    states = [(await anext(watch)).circuit_state for _ in range(3)]
    assert states == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]


async def test_watch_without_names_covers_every_provider(setup: HealthSetup) -> None:
    watch = setup.health.watch(())

    assert [(await anext(watch)).provider for _ in range(2)] == ["claude", "mock"]


def test_unknown_provider_is_an_error_naming_the_configured_ones(setup: HealthSetup) -> None:
    with pytest.raises(ProviderNotFound, match=r"Provider 'gpt' not found. Configured providers: claude, mock."):
        setup.health.report("gpt")


def test_one_rejected_key_degrades_and_the_last_one_takes_the_provider_down(setup: HealthSetup) -> None:
    setup.use_keys()
    setup.breakers.get("mock", "", "1").open_for(300)
    one_key = (setup.report.status, setup.report.circuit_state, setup.health.is_available("mock", "m"))

    setup.breakers.get("mock", "", "2").open_for(300)

    assert one_key == (ProviderStatus.DEGRADED, CircuitState.OPEN, True)
    assert setup.report.status is ProviderStatus.DOWN
    assert not setup.health.is_available("mock", "m")


def test_model_failing_with_every_key_takes_its_provider_down_but_no_other_model(setup: HealthSetup) -> None:
    setup.use_keys()

    for key_id in ("1", "2"):
        setup.breakers.get("mock", "m", key_id).open_for(10)

    assert setup.report.status is ProviderStatus.DOWN
    assert not setup.health.is_available("mock", "m")
    assert setup.health.is_available("mock", "other")


def test_failing_caller_keys_only_degrade_the_provider(setup: HealthSetup) -> None:
    setup.use_keys()

    setup.breakers.get("mock", "m", CALLER_KEY_ID).open_for(10)

    assert setup.report.status is ProviderStatus.DEGRADED
    assert setup.health.is_available("mock", "m")


def test_report_shows_the_earliest_retry_time(setup: HealthSetup) -> None:
    setup.use_keys()
    setup.breakers.get("mock", "", "1").open_for(300)

    setup.breakers.get("mock", "m", "2").open_for(4)

    assert setup.report.retry_at == setup.clock.time + 4


def test_consecutive_failures_are_reported_before_a_breaker_opens(setup: HealthSetup) -> None:
    setup.use_keys()
    breaker = setup.breakers.get("mock", "m", "2")

    for _ in range(3):
        breaker.record_failure(breaker.generation, "PROVIDER_ERROR")

    assert (setup.report.circuit_state, setup.report.consecutive_failures) == (CircuitState.CLOSED, 3)


def test_model_blocked_by_retry_after_is_unavailable_but_not_down(setup: HealthSetup) -> None:
    setup.use_keys()

    for key_id in ("1", "2"):
        setup.breakers.get("mock", "m", key_id).block_for(10)

    assert not setup.health.is_available("mock", "m")
    assert setup.report.status is ProviderStatus.UNKNOWN
