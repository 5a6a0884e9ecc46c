"""How the providers behind a gateway do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime

from .._convert.checks import duration, names
from .._convert.scalars import moment, seconds, word
from .._transport.channel import AsyncConnection, Connection
from .._transport.errors import translated
from .._transport.settings import HOUR_SECONDS, PROBE_SECONDS, READ_SECONDS
from ..types.quality import ProviderQuality
from ..v1 import health_pb2


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """How one provider does. `proto` is what travelled."""

    proto: health_pb2.ProviderHealth

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.proto.provider

    @property
    def status(self) -> str:
        """HEALTHY, DEGRADED, DOWN, NOT_CONFIGURED, or UNKNOWN: no evidence yet."""
        return word(health_pb2.ProviderStatus, self.proto.status).upper() or "UNKNOWN"

    @property
    def circuit(self) -> str:
        """closed: calls pass; open: they are refused at once; half_open: one passes to see."""
        return word(health_pb2.CircuitState, self.proto.circuit_breaker.state)

    @property
    def consecutive_failures(self) -> int:
        """Failures since the last success."""
        return self.proto.circuit_breaker.consecutive_failures

    @property
    def retry_time(self) -> datetime | None:
        """When an open circuit lets a call try again, in UTC."""
        return moment(self.proto.circuit_breaker, "retry_time")

    @property
    def latency_p50(self) -> float | None:
        """Seconds that half of the answers of the last five minutes took less than."""
        return seconds(self.proto, "latency_p50")

    @property
    def latency_p95(self) -> float | None:
        """Seconds that 95 % of the answers of the last five minutes took less than."""
        return seconds(self.proto, "latency_p95")

    @property
    def error_rate(self) -> float:
        """Share of calls of the last five minutes that failed by the provider's fault, 0 to 1."""
        return self.proto.error_rate

    @property
    def last_success_time(self) -> datetime | None:
        """The last answer, in UTC."""
        return moment(self.proto, "last_success_time")

    @property
    def last_failure_time(self) -> datetime | None:
        """The last failure, in UTC."""
        return moment(self.proto, "last_failure_time")

    @property
    def last_error_reason(self) -> str:
        """Why it failed last: a `reason` as AIError has it."""
        return self.proto.last_error_reason

    @property
    def solution(self) -> str:
        """What an operator can do."""
        return self.proto.solution


class Health:
    """The providers' health."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, providers: Sequence[str] = (), *, probe: bool = False) -> list[ProviderHealth]:
        """State now, by name; no names: all. `probe` asks each provider for its model list first."""
        with translated(self._connection):
            answer = self._connection.stubs.health.ListProviderHealth(
                health_pb2.ListProviderHealthRequest(providers=names("providers", providers), probe=probe),
                timeout=PROBE_SECONDS if probe else READ_SECONDS,
                metadata=self._connection.endpoint.metadata,
            )
        return [ProviderHealth(row) for row in answer.providers]

    def assess(self, providers: Sequence[str] = (), *, window: float = HOUR_SECONDS) -> Sequence[ProviderQuality]:
        """How good they were in the last `window` seconds, at most an hour: the best first; no names: all.

        Those without samples come last, by name.
        """
        request = _assess_request(providers, window)
        with translated(self._connection):
            answer = self._connection.stubs.health.AssessProviders(
                request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
            )
        return [ProviderQuality(row) for row in answer.providers]

    def watch(self, providers: Sequence[str] = ()) -> Generator[ProviderHealth]:
        """State now, then each change, without end. Leaving the loop cancels the call."""
        call = self._connection.stubs.health.WatchProviderHealth(
            health_pb2.WatchProviderHealthRequest(providers=names("providers", providers)),
            metadata=self._connection.endpoint.metadata,
        )
        try:
            with translated(self._connection):
                yield from (ProviderHealth(change.provider) for change in call)
        finally:
            call.cancel()


class AsyncHealth:
    """The providers' health, for asyncio."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, providers: Sequence[str] = (), *, probe: bool = False) -> list[ProviderHealth]:
        """State now, by name; no names: all. `probe` asks each provider for its model list first."""
        with translated(self._connection):
            answer = await self._connection.stubs.health.ListProviderHealth(
                health_pb2.ListProviderHealthRequest(providers=names("providers", providers), probe=probe),
                timeout=PROBE_SECONDS if probe else READ_SECONDS,
                metadata=self._connection.endpoint.metadata,
            )
        return [ProviderHealth(row) for row in answer.providers]

    async def assess(self, providers: Sequence[str] = (), *, window: float = HOUR_SECONDS) -> Sequence[ProviderQuality]:
        """As Health.assess."""
        request = _assess_request(providers, window)
        with translated(self._connection):
            answer = await self._connection.stubs.health.AssessProviders(
                request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
            )
        return [ProviderQuality(row) for row in answer.providers]

    async def watch(self, providers: Sequence[str] = ()) -> AsyncGenerator[ProviderHealth]:
        """State now, then each change, without end. Close it (`aclosing`) where the loop is left early."""
        call = self._connection.stubs.health.WatchProviderHealth(
            health_pb2.WatchProviderHealthRequest(providers=names("providers", providers)),
            metadata=self._connection.endpoint.metadata,
        )
        try:
            with translated(self._connection):
                async for change in call:
                    yield ProviderHealth(change.provider)
        finally:
            call.cancel()


def _assess_request(providers: Sequence[str], window: float) -> health_pb2.AssessProvidersRequest:
    return health_pb2.AssessProvidersRequest(providers=names("providers", providers), window=duration("window", window))
