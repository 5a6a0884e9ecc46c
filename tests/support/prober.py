"""A prober around a provider that fails as told, and pauses that end when told."""

from __future__ import annotations

import asyncio

from aimanager_server.catalog.model import Model
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from aimanager_server.resilience.breaker_registry import Breaker, Breakers, Rules
from aimanager_server.resilience.prober import Kind, Prober
from tests.support.calls import FakeClock, Upstream, settle

DOWN = errors.ProviderUnreachable("no route")


class Provider(Upstream):
    """Fails its probes, and answers of some models, as told; one told to hang does so for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Exception | None = DOWN
        self.failing: set[str] = set()
        self.hangs = False
        self.probes = 0

    async def __call__(self, call: Call) -> ResponseStream:
        if call.target.model in self.failing:
            raise errors.ProviderOverloaded("busy")
        return await super().__call__(call)

    async def probe(self) -> None:
        """Fail, hang or answer."""
        self.probes += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault

    async def aclose(self) -> None:
        """Nothing is open."""


class World:
    """A prober whose pauses end one by one, when told."""

    def __init__(self, kind: Kind = "models", limit: float = 10.0, chance: float = 0.5) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(Rules(), self.clock)
        self.provider = Provider()
        self.facts: dict[str, Model] = {}
        self.recorded: list[str] = []
        self.counted: list[str] = []
        self.pauses: list[float] = []
        self._rings = asyncio.Semaphore(0)
        self.told = asyncio.Semaphore(0)
        self.prober = Prober(
            {"claude": self.provider},
            {"claude": kind},
            self.breakers,
            lambda provider, model: self.facts.get(model),
            self._record,
            lambda provider, outcome: self.counted.append(outcome),
            self._pause,
            lambda: chance,
            limit,
        )

    def _record(self, provider: str, fault: GatewayError | None) -> None:
        self.recorded.append(fault.reason if fault else "")
        self.told.release()

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self._rings.acquire()
        self.clock.advance(seconds)

    async def ring(self) -> None:
        """End one pause, and let everybody run."""
        self._rings.release()
        await settle(20)

    def fail(self, model: str = "a", key: str = "1", times: int = 5) -> Breaker:
        """Let a model fail until its circuit opens."""
        breaker = self.breakers.of("claude", model, key)
        for _ in range(times):
            breaker.failed(breaker.era, "PROVIDER_ERROR")
        return breaker
