"""A prober with a fake clock, around a provider whose failures the test controls."""

from __future__ import annotations

import asyncio
from typing import Any

from aimanager_server.catalog.model import Model
from aimanager_server.config.resilience import CircuitBreakerSettings, RetrySettings
from aimanager_server.core import errors
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Attempt, Call
from aimanager_server.core.stream import ResponseStream
from aimanager_server.resilience.breaker_registry import BreakerRegistry
from aimanager_server.resilience.circuit_breaker import CircuitBreaker
from aimanager_server.resilience.prober import ProbeKind, Prober
from tests.support.clock import FakeClock
from tests.support.event_loop import run_ready_tasks
from tests.support.upstream import ScriptedUpstream

UNREACHABLE = errors.ProviderUnreachable("no route")


class ProbedProvider(ScriptedUpstream):
    """Raise `probe_error` from probes, or hang; reject calls to `failing_models`."""

    def __init__(self, probe_error: Exception | None = None) -> None:
        super().__init__()
        self.probe_error = probe_error
        self.failing_models: set[str] = set()
        self.hangs = False
        self.probes = 0

    async def __call__(self, attempt: Call | Attempt[Any]) -> ResponseStream:
        if attempt.target.model in self.failing_models:
            raise errors.ProviderOverloaded("busy")
        return await super().__call__(attempt)

    async def probe(self) -> None:
        """Succeed, fail or hang."""
        self.probes += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.probe_error is not None:
            raise self.probe_error

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""


class ProberSetup:
    """A prober of the provider "claude". Each of its sleeps ends when the test calls `end_sleep`."""

    def __init__(self, kind: ProbeKind = "models", timeout_seconds: float = 10.0, random: float = 0.5) -> None:
        self.clock = FakeClock()
        self.breakers = BreakerRegistry(CircuitBreakerSettings(), RetrySettings(), self.clock)
        self.provider = ProbedProvider(UNREACHABLE)
        self.models: dict[str, Model] = {}
        self.recorded: list[str] = []
        self.counted: list[str] = []
        self.sleeps: list[float] = []
        self.probe_recorded = asyncio.Semaphore(0)
        self._wakeups = asyncio.Semaphore(0)
        self.prober = Prober(
            self.breakers,
            lambda provider, model: self.models.get(model),
            self._record,
            lambda provider, outcome: self.counted.append(outcome),
            self._sleep,
            lambda: random,
            timeout_seconds,
        )
        self.prober.replace_providers({"claude": self.provider}, {"claude": kind})

    def _record(self, provider: str, error: GatewayError | None) -> None:
        self.recorded.append(error.reason if error else "")
        self.probe_recorded.release()

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await self._wakeups.acquire()
        self.clock.advance(seconds)

    async def end_sleep(self) -> None:
        """End one sleep and let every task run."""
        self._wakeups.release()
        await run_ready_tasks(20)

    def open_breaker(self, model: str = "a", key_id: str = "1") -> CircuitBreaker:
        """Record failures of a model until its breaker opens."""
        breaker = self.breakers.get("claude", model, key_id)
        for _ in range(5):
            breaker.record_failure(breaker.generation, "PROVIDER_ERROR")
        return breaker
