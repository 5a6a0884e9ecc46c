"""Health of a provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .._convert.scalars import enum_word, read_seconds, read_time
from ..v1 import health_pb2
from .presentation import short_repr


@dataclass(frozen=True, slots=True, repr=False)
class ProviderHealth:
    """Health of one provider over the last five minutes. `proto` is the message from the server.

    >>> ProviderHealth(health_pb2.ProviderHealth(provider="claude")).status
    'UNKNOWN'
    """

    proto: health_pb2.ProviderHealth

    @property
    def provider(self) -> str:
        """Provider name, such as `claude`."""
        return self.proto.provider

    @property
    def status(self) -> str:
        """HEALTHY, DEGRADED, DOWN, NOT_CONFIGURED, or UNKNOWN before the first call or probe."""
        return enum_word(health_pb2.ProviderStatus, self.proto.status).upper() or "UNKNOWN"

    @property
    def circuit(self) -> str:
        """Circuit breaker state: closed (calls pass), open (calls are rejected) or half_open (one trial call)."""
        return enum_word(health_pb2.CircuitState, self.proto.circuit_breaker.state)

    @property
    def consecutive_failures(self) -> int:
        """Failures since the last success."""
        return self.proto.circuit_breaker.consecutive_failures

    @property
    def retry_time(self) -> datetime | None:
        """Time at which an open circuit breaker admits a trial call, in UTC."""
        return read_time(self.proto.circuit_breaker, "retry_time")

    @property
    def latency_p50(self) -> float | None:
        """Median latency in seconds."""
        return read_seconds(self.proto, "latency_p50")

    @property
    def latency_p95(self) -> float | None:
        """95th percentile of the latency in seconds."""
        return read_seconds(self.proto, "latency_p95")

    @property
    def error_rate(self) -> float:
        """Share of calls that failed because of the provider, 0 to 1. Errors of callers do not count."""
        return self.proto.error_rate

    @property
    def last_success_time(self) -> datetime | None:
        """Time of the last success, in UTC."""
        return read_time(self.proto, "last_success_time")

    @property
    def last_failure_time(self) -> datetime | None:
        """Time of the last failure, in UTC."""
        return read_time(self.proto, "last_failure_time")

    @property
    def last_error_reason(self) -> str:
        """Reason of the last failure, as in `AIError.reason`."""
        return self.proto.last_error_reason

    @property
    def solution(self) -> str:
        """Recommended action, of the operator for an admin, else of the caller; empty if none is needed."""
        return self.proto.solution

    def __repr__(self) -> str:
        return short_repr(self, "provider", "status", "circuit", "last_error_reason")
