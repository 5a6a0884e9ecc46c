import pytest

from aimanager_server.core.errors import ProviderNotFound, ProviderUnreachable
from aimanager_server.resilience.breaker_registry import Breakers, Rules
from aimanager_server.resilience.provider_health import ProviderHealth
from aimanager_server.telemetry.provider_stats import Circuit, Status, Vitals
from tests.support.calls import FakeClock, Upstream


class Provider(Upstream):
    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.down:
            raise ProviderUnreachable("no route")

    async def aclose(self) -> None: ...


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(Rules(), self.clock)
        self.vitals = Vitals(self.clock, self.clock)
        self.providers = {"mock": Provider(), "claude": Provider()}
        self.missing = {"claude": "Set ANTHROPIC_API_KEY."}
        self.health = ProviderHealth(self.providers, self.breakers, self.vitals, self.clock, self.clock, self.missing)

    @property
    def status(self) -> Status:
        return self.health.report("mock").status


@pytest.fixture
def world() -> World:
    return World()


def test_without_evidence_nothing_is_claimed(world: World) -> None:
    report = world.health.report("mock")

    assert (report.status, report.circuit, report.latency_p50, report.solution) == (
        Status.UNKNOWN, Circuit.CLOSED, None, "")  # fmt: skip


def test_a_provider_without_a_key_says_what_to_do(world: World) -> None:
    report = world.health.report("claude")

    assert (report.status, report.solution) == (Status.NOT_CONFIGURED, "Set ANTHROPIC_API_KEY.")
    assert not world.health.available("claude", "any")


def test_answers_make_it_healthy_and_failures_degraded(world: World) -> None:
    for _ in range(9):
        world.vitals.answered("mock", 1.5)
    assert world.status is Status.HEALTHY

    world.vitals.failed("mock", "PROVIDER_ERROR", "Wait.")

    report = world.health.report("mock")
    assert (report.status, report.error_rate, report.latency_p50) == (Status.DEGRADED, 0.1, 1.5)
    assert (report.last_error_reason, report.solution) == ("PROVIDER_ERROR", "Wait.")


def test_the_worst_circuit_decides(world: World) -> None:
    world.breakers.of("mock", "good")
    world.breakers.of("mock", "bad").open(10)

    report = world.health.report("mock")

    assert (report.status, report.circuit) == (Status.DOWN, Circuit.OPEN)
    assert (report.opened_at, report.retry_at) == (world.clock.time, world.clock.time + 10)
    assert world.health.available("mock", "good")
    assert not world.health.available("mock", "bad")
    world.clock.advance(10)
    assert world.status is Status.DEGRADED
    assert world.health.circuit("mock") is Circuit.HALF_OPEN
    assert world.health.circuit("claude") is Circuit.CLOSED


async def test_a_probe_is_evidence_until_it_is_stale_or_an_answer_follows(world: World) -> None:
    assert (await world.health.probe("mock")).status is Status.HEALTHY
    world.providers["mock"].down = True

    report = await world.health.probe("mock")

    assert report.status is Status.DEGRADED
    assert "base_url" in report.solution
    world.clock.advance(301)
    assert world.status is Status.UNKNOWN
    await world.health.probe("mock")
    world.clock.advance(1)
    world.vitals.answered("mock", 1.0)
    assert world.status is Status.HEALTHY


async def test_a_provider_without_a_key_is_not_probed(world: World) -> None:
    report = await world.health.probe("claude")

    assert report.status is Status.NOT_CONFIGURED
    assert world.providers["claude"].probes == 0


async def test_a_watch_shows_the_state_and_then_each_change(world: World) -> None:
    watch = world.health.watch(("mock",))
    assert (await anext(watch)).status is Status.UNKNOWN

    world.vitals.answered("mock", 1.0)

    assert (await anext(watch)).status is Status.HEALTHY
    world.breakers.of("mock", "m").open(10)
    world.vitals.failed("mock", "PROVIDER_ERROR", "")
    assert (await anext(watch)).status is Status.DOWN


async def test_a_watch_passes_no_state_of_a_circuit_over(world: World) -> None:
    watch = world.health.watch(("mock",))
    await anext(watch)
    breaker = world.breakers.of("mock", "m")

    breaker.open(10)
    world.clock.advance(10)
    breaker.admit()
    breaker.began(breaker.era)

    assert [(await anext(watch)).circuit for _ in range(3)] == [Circuit.OPEN, Circuit.HALF_OPEN, Circuit.CLOSED]


async def test_a_watch_of_nobody_in_particular_is_of_all(world: World) -> None:
    watch = world.health.watch(())

    assert [(await anext(watch)).provider for _ in range(2)] == ["claude", "mock"]


def test_an_unknown_provider_is_named_with_those_there_are(world: World) -> None:
    with pytest.raises(ProviderNotFound, match="no provider 'gpt'; there are: claude, mock"):
        world.health.report("gpt")
