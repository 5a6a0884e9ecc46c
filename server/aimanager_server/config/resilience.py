"""Settings of retries, circuit breakers, stream timeouts, hedging and idempotency."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .types import MAX_SECONDS, MIB, PositiveInt, Seconds, Section

Ratio = Annotated[float, Field(gt=0, le=1)]


class RetrySettings(Section):
    """Retries to the same target after a transient error."""

    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Attempts of one call at one target, including the first. Replacing a rejected API key does not count."""
    initial_backoff_seconds: Seconds = 0.25
    """The backoff before the first retry. It doubles with every retry, with full jitter."""
    max_retry_after_seconds: Seconds = 120.0
    """The longest Retry-After of a provider that is honored. With a longer one the target is not retried."""
    prefer_same_target_seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS)] = 0.0
    """The longest Retry-After that is preferred to a fallback, which would not have the target's prompt cache."""
    budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Retries allowed per provider, as a ratio of its calls."""
    budget_burst: Annotated[int, Field(ge=0)] = 10
    """Retries allowed beyond that ratio; one per second is restored."""


class CircuitBreakerSettings(Section):
    """When the circuit breaker of a target opens, and for how long."""

    failure_threshold: PositiveInt = 5
    """Consecutive failures that open it."""
    window_seconds: Seconds = 30.0
    """The sliding window of the failure rate."""
    minimum_calls: PositiveInt = 20
    """Calls required in the window before the failure rate counts."""
    failure_rate_threshold: Ratio = 0.5
    """The failure rate in the window that opens it."""
    probe_interval_seconds: Seconds = 4.0
    """Interval between probes of a provider with an open breaker, with 10 % jitter. A successful one half-opens it."""
    open_seconds: Seconds = 5.0
    """Without probes: how long it stays open at first. The duration doubles after each failed trial call."""
    max_open_seconds: Seconds = 60.0
    """Without probes: the longest time it stays open."""
    credentials_open_seconds: Seconds = 300.0
    """How long it stays open after a rejected API key or an exhausted quota."""


class StreamTimeoutSettings(Section):
    """How long to wait for content from a provider. The deadline of a call bounds all of them."""

    first_token_seconds: Seconds = 10.0
    """Until the first content, if another target remains. Without one only the deadline applies."""
    first_token_reasoning_seconds: Seconds = 120.0
    """The same for a reasoning model."""
    idle_text_seconds: Seconds = 10.0
    """Between two pieces of text. Comments and pings of the provider are not content."""
    idle_tool_call_seconds: Seconds = 90.0
    """Between two pieces of the arguments of a tool call."""
    idle_reasoning_seconds: Seconds = 120.0
    """Between two pieces of reasoning, and between any two parts of a reasoning model."""


class HedgingSettings(Section):
    """A second request to the next target if the first is slow. The first response wins; both requests are billed."""

    enabled: bool = False
    """Hedge unary calls that have another target."""
    max_ratio: Ratio = 0.05
    """The largest ratio of these calls that is hedged."""
    min_delay_seconds: Seconds = 0.5
    """The shortest delay before the second request, which is the target's 95th percentile of time to first token."""
    min_samples: PositiveInt = 20
    """Streamed responses of the last hour required to compute that percentile."""


class IdempotencySettings(Section):
    """Responses kept for repeated calls with the same idempotency key."""

    max_entries: PositiveInt = 1_000
    """Responses kept; the least recently used is evicted first."""
    max_bytes: PositiveInt = 64 * MIB
    """Their total size."""
    ttl_seconds: Seconds = 3_600.0
    """How long a response is kept."""
