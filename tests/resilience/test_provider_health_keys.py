"""What several keys, or the callers' own, make of a provider's report."""

from __future__ import annotations

from aimanager_server.core.request import CALLER_KEY_ID
from aimanager_server.resilience.breaker_registry import Breakers, Rules
from aimanager_server.resilience.provider_health import ProviderHealth
from aimanager_server.telemetry.provider_stats import Circuit, Report, Status, Vitals
from tests.support.calls import FakeClock
from tests.support.prober import Provider


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(Rules(), self.clock)
        self.vitals = Vitals(self.clock, self.clock)
        self.health = ProviderHealth({"mock": Provider()}, self.breakers, self.vitals, self.clock, self.clock, {})
        for key in ("1", "2"):
            for model in ("", "m"):
                self.breakers.of("mock", model, key)

    @property
    def report(self) -> Report:
        return self.health.report("mock")


def test_one_refused_key_of_several_degrades_a_provider_and_the_last_takes_it_down() -> None:
    world = World()
    world.breakers.of("mock", "", "1").open(300)
    assert (world.report.status, world.report.circuit) == (Status.DEGRADED, Circuit.OPEN)
    assert world.health.available("mock", "m")

    world.breakers.of("mock", "", "2").open(300)

    assert world.report.status is Status.DOWN
    assert not world.health.available("mock", "m")


def test_a_model_that_fails_with_every_key_takes_its_provider_down_and_no_other_model() -> None:
    world = World()

    for key in ("1", "2"):
        world.breakers.of("mock", "m", key).open(10)

    assert world.report.status is Status.DOWN
    assert not world.health.available("mock", "m")
    assert world.health.available("mock", "other")


def test_callers_own_keys_that_fail_degrade_where_the_servers_work() -> None:
    world = World()

    world.breakers.of("mock", "m", CALLER_KEY_ID).open(10)

    assert world.report.status is Status.DEGRADED
    assert world.health.available("mock", "m")


def test_the_next_try_is_that_of_the_circuit_tried_first() -> None:
    world = World()
    world.breakers.of("mock", "", "1").open(300)

    world.breakers.of("mock", "m", "2").open(4)

    assert world.report.retry_at == world.clock.time + 4


def test_failures_are_told_before_anything_opens() -> None:
    world = World()
    breaker = world.breakers.of("mock", "m", "2")

    for _ in range(3):
        breaker.failed(breaker.era, "PROVIDER_ERROR")

    assert (world.report.circuit, world.report.consecutive_failures) == (Circuit.CLOSED, 3)


def test_a_model_that_is_to_wait_is_not_available_and_no_outage() -> None:
    world = World()

    for key in ("1", "2"):
        world.breakers.of("mock", "m", key).hold(10)

    assert not world.health.available("mock", "m")
    assert world.report.status is Status.UNKNOWN
