"""Declares every Prometheus metric the server exports. Label values come from closed sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from ..core.attempts import AttemptRecord
from ..core.errors import GatewayError, Overloaded, RateLimited
from ..core.usage import Cost, Usage
from .extension_metrics import ExtensionMetrics
from .response_cache_metrics import ResponseCacheMetrics

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEAD_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
TOKEN_BUCKETS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
OTHER = "other"
"""Label value for models that are not in the catalog."""
IN_FLIGHT = "in_flight"
CIRCUIT_STATES = ("closed", "half_open", "open")
SUCCESS = "success"
RELOAD_OUTCOMES = (SUCCESS, "failure")


class TargetMetrics:
    """Metrics of one provider and model, bound to their labels once so that a call looks nothing up."""

    def __init__(self, metrics: Metrics, provider: str, model: str) -> None:
        labels = (provider, model)
        self.unary_requests = metrics.requests.labels(*labels, "unary")
        self.streaming_requests = metrics.requests.labels(*labels, "stream")
        self.request_duration = metrics.request_duration.labels(*labels)
        self.time_to_first_token = metrics.time_to_first_token.labels(*labels)
        self.input_tokens = metrics.tokens.labels(*labels, "input")
        self.output_tokens = metrics.tokens.labels(*labels, "output")
        self.cache_read_tokens = metrics.tokens.labels(*labels, "cache_read")
        self.cache_write_tokens = metrics.tokens.labels(*labels, "cache_write")
        self.reasoning_tokens = metrics.tokens.labels(*labels, "reasoning")
        self.request_tokens = metrics.request_tokens.labels(*labels)
        self.retries = metrics.retries.labels(provider)
        self.fallbacks = metrics.fallbacks.labels(provider)
        self.hedged_requests = metrics.hedged_requests.labels(*labels)
        self.restarted_streams = metrics.stream_interruptions.labels(*labels, "restarted")
        self.failed_streams = metrics.stream_interruptions.labels(*labels, "failed")
        self._attempts = cache(partial(metrics.upstream_attempts.labels, *labels))
        self._cost = cache(partial(metrics.cost.labels, *labels))

    def count_attempt(self, reason: str) -> None:
        """Count an attempt that ended. `reason` is the error's reason, empty for a success."""
        self._attempts(reason or SUCCESS).inc()

    def add_usage(self, usage: Usage, cost: Cost | None) -> None:
        """Add tokens and cost."""
        self.input_tokens.inc(usage.input_tokens)
        self.output_tokens.inc(usage.output_tokens)
        if usage.cache_read_tokens:
            self.cache_read_tokens.inc(usage.cache_read_tokens)
        if usage.cache_write_tokens:
            self.cache_write_tokens.inc(usage.cache_write_tokens)
        if usage.reasoning_tokens:
            self.reasoning_tokens.inc(usage.reasoning_tokens)
        if cost is not None:
            self._cost(cost.currency).inc(cost.total_nanos / 1e9)


class Metrics:
    """Register all metrics on a separate registry.

    `is_known_model` receives a provider and a model. Unknown models are counted under the label "other", so that
    callers cannot create time series by inventing names.
    """

    def __init__(self, is_known_model: Callable[[str, str], bool]) -> None:
        registry = self.registry = CollectorRegistry()
        target = ["provider", "model"]
        self.requests = Counter("aimanager_requests", "Requests received.", [*target, "method"], registry=registry)
        self.request_errors = Counter(
            "aimanager_request_errors", "Requests that failed, by error reason.", ["provider", "reason"],
            registry=registry,
        )  # fmt: skip
        self.request_duration = Histogram(
            "aimanager_request_duration_seconds", "Time from the request to the end of the response.", target,
            registry=registry, buckets=DURATION_BUCKETS,
        )  # fmt: skip
        self.time_to_first_token = Histogram(
            "aimanager_time_to_first_token_seconds", "Time from the request to the first content.", target,
            registry=registry, buckets=DURATION_BUCKETS,
        )  # fmt: skip
        self.tokens = Counter("aimanager_tokens", "Tokens used, by type.", [*target, "type"], registry=registry)
        self.request_tokens = Histogram(
            "aimanager_request_tokens", "Tokens per request.", target, registry=registry, buckets=TOKEN_BUCKETS
        )
        self.cost = Counter(
            "aimanager_cost", "Cost of requests with a known price, in units of the currency.", [*target, "currency"],
            registry=registry,
        )  # fmt: skip
        self.upstream_attempts = Counter(
            "aimanager_upstream_attempts", "Attempts sent to a provider, by outcome.", [*target, "outcome"],
            registry=registry,
        )  # fmt: skip
        self.retries = Counter("aimanager_retries", "Retries to the same target.", ["provider"], registry=registry)
        self.fallbacks = Counter(
            "aimanager_fallbacks", "Fallbacks from this provider to the next target.", ["provider"], registry=registry
        )
        self.hedged_requests = Counter(
            "aimanager_hedged_requests", "Requests for which a hedged attempt was sent.", target,
            registry=registry,
        )  # fmt: skip
        self.stream_interruptions = Counter(
            "aimanager_stream_interruptions", "Streams interrupted after the first content, by outcome.",
            [*target, "outcome"], registry=registry,
        )  # fmt: skip
        self.quarantined_keys = Gauge(
            "aimanager_quarantined_keys", "API keys of the server quarantined after the provider rejected them.",
            ["provider"], registry=registry,
        )  # fmt: skip
        self.provider_probes = Counter(
            "aimanager_provider_probes", "Circuit-breaker probes, by outcome.", ["provider", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.gateway_overhead = Histogram(
            "aimanager_gateway_overhead_seconds", "Time to first content, excluding the time waiting for a provider.",
            registry=registry, buckets=OVERHEAD_BUCKETS,
        )  # fmt: skip
        self.requests_in_flight = Gauge("aimanager_requests_in_flight", "Requests in flight.", registry=registry)
        self.circuit_breaker_state = Gauge(
            "aimanager_circuit_breaker_state",
            "Worst state of the provider's circuit breakers: 0 closed, 1 half-open, 2 open.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self.rejected_requests = Counter(
            "aimanager_rejected_requests", "Requests rejected by a limit of the server, by limit.", ["reason"],
            registry=registry,
        )  # fmt: skip
        self.safety_filter_matches = Counter(
            "aimanager_safety_filter_matches", "Texts that the safety filters masked or blocked.",
            ["filter", "direction", "action"], registry=registry,
        )  # fmt: skip
        self.rpc_duration = Histogram(
            "rpc_server_call_duration_seconds", "Duration of RPCs.", ["rpc_method", "rpc_response_status_code"],
            registry=registry, buckets=DURATION_BUCKETS,
        )  # fmt: skip
        self.event_loop_lag = Gauge(
            "aimanager_event_loop_lag_seconds", "Delay of timers on the event loop.", registry=registry
        )
        self.asyncio_tasks = Gauge(
            "aimanager_asyncio_tasks", "Tasks on the event loop that have not ended.", registry=registry
        )
        self.dropped_log_lines = Counter(
            "aimanager_dropped_log_lines", "Log lines dropped because stderr did not take them.", registry=None
        )
        self._log_writer = _ReadCounter(self.dropped_log_lines)
        registry.register(self._log_writer)
        self.config_reloads = Counter(
            "aimanager_config_reloads", "Reloads of the configuration, by outcome.", ["outcome"], registry=registry
        )
        self.config_last_reload_successful = Gauge(
            "aimanager_config_last_reload_successful",
            "Whether the configuration was loaded at the last change: 1, or 0 if the previous one is in use.",
            registry=registry,
        )
        self.config_last_reload_success_timestamp = Gauge(
            "aimanager_config_last_reload_success_timestamp_seconds",
            "When the configuration in use was loaded, in seconds since the Unix epoch.", registry=registry,
        )  # fmt: skip
        self.token_expiry = Gauge(
            "aimanager_token_expiry_timestamp_seconds",
            "When the next token of a caller expires, or its last one expired, in seconds since the Unix epoch.",
            ["caller"], registry=registry,
        )  # fmt: skip
        self.state_entries = Gauge(
            "aimanager_state_entries", "Entries of what the server keeps in memory, by store.", ["store"],
            registry=registry,
        )  # fmt: skip
        self.state_bytes = Gauge(
            "aimanager_state_bytes", "Estimated bytes of what is bounded in bytes, by store.", ["store"],
            registry=registry,
        )  # fmt: skip
        self.response_cache = ResponseCacheMetrics(registry)
        self.extensions = ExtensionMetrics(registry)
        for outcome in RELOAD_OUTCOMES:
            self.config_reloads.labels(outcome)
        self.config_last_reload_successful.set(1)
        self.config_last_reload_success_timestamp.set_to_current_time()
        self.is_known_model = is_known_model
        self._for_target = cache(self._bind)
        self._rpc = cache(self.rpc_duration.labels)

    def for_target(self, provider: str, model: str) -> TargetMetrics:
        """Return the metrics of a provider and model."""
        return self._for_target(provider, model if self.is_known_model(provider, model) else OTHER)

    def attempt_started(self, record: AttemptRecord) -> None:
        """Do nothing: attempts are counted when they end."""

    def attempt_ended(self, record: AttemptRecord) -> None:
        """Count an attempt with its usage and cost."""
        target = self.for_target(record.provider, record.model)
        target.count_attempt(record.error_reason)
        if record.usage is not None:
            target.add_usage(record.usage, record.cost)

    def observe_rpc(self, method: str, code: str, seconds: float) -> None:
        """Record the duration of an RPC by its method and the name of its gRPC status code."""
        self._rpc(method, code).observe(seconds)

    def count_rejected(self, reason: str, *, streaming: bool) -> None:
        """Count a request that failed with an error's reason before it had a provider."""
        self.requests.labels("", "", "stream" if streaming else "unary").inc()
        self.request_errors.labels("", reason).inc()

    def count_rejection(self, error: GatewayError) -> None:
        """Count a request that the server's own limits rejected; ignore other errors."""
        if isinstance(error, RateLimited | Overloaded):
            self.rejected_requests.labels(error.metadata.get("quota", IN_FLIGHT)).inc()

    def count_safety_filter(self, name: str, direction: str, action: str, count: int) -> None:
        """Count what a safety filter masked or blocked; the operator's configuration names the filters."""
        self.safety_filter_matches.labels(name, direction, action).inc(count)

    def export_breaker_states(self, providers: Iterable[str], circuit_state: Callable[[str], str]) -> None:
        """Export the circuit state of each provider, read on each scrape in the scraper's thread."""
        for provider in providers:
            self.circuit_breaker_state.labels(provider).set_function(partial(_state_number, circuit_state, provider))

    def export_quarantined_keys(self, providers: Iterable[str], quarantined_count: Callable[[str], int]) -> None:
        """Export the number of quarantined keys of each provider, read on each scrape in the scraper's thread."""
        for provider in providers:
            self.quarantined_keys.labels(provider).set_function(partial(quarantined_count, provider))

    def count_probe(self, provider: str, outcome: str) -> None:
        """Count a circuit-breaker probe. `outcome` is "success" or the reason of its error."""
        self.provider_probes.labels(provider, outcome).inc()

    def forget_provider(self, provider: str) -> None:
        """Stop exporting the state of a provider that was removed. Its counters stay."""
        for gauge in (self.circuit_breaker_state, self.quarantined_keys):
            gauge.remove(provider)

    def count_reload(self, *, succeeded: bool) -> None:
        """Count a reload of the configuration."""
        self.config_reloads.labels(RELOAD_OUTCOMES[0 if succeeded else 1]).inc()
        self.config_last_reload_successful.set(succeeded)
        if succeeded:
            self.config_last_reload_success_timestamp.set_to_current_time()

    def export_token_expiries(self, expiries: Mapping[str, Sequence[float]], wall_clock: Callable[[], float]) -> None:
        """Export when the tokens of each caller expire, instead of those exported before. Callers need at least one."""
        self.token_expiry.clear()
        for caller, times in expiries.items():
            self.token_expiry.labels(caller).set_function(partial(_next_expiry, times, wall_clock))

    def export_state(self, entries: Mapping[str, Callable[[], int]], sizes: Mapping[str, Callable[[], int]]) -> None:
        """Export the number of entries and the bytes of stores, read on each scrape in the scraper's thread."""
        for gauge, functions in ((self.state_entries, entries), (self.state_bytes, sizes)):
            for store, read in functions.items():
                gauge.labels(store).set_function(read)

    def export_event_loop_lag(self, lag_seconds: Callable[[], float]) -> None:
        """Export the event loop's lag, read on each scrape in the scraper's thread."""
        self.event_loop_lag.set_function(lag_seconds)

    def export_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        """Export the number of tasks of an event loop, read on each scrape in the scraper's thread."""
        self.asyncio_tasks.set_function(lambda: len(asyncio.all_tasks(loop)))

    def export_dropped_log_lines(self, dropped_count: Callable[[], int]) -> None:
        """Export the number of log lines dropped since the start, read on each scrape in the scraper's thread."""
        self._log_writer.read = dropped_count

    def _bind(self, provider: str, model: str) -> TargetMetrics:
        return TargetMetrics(self, provider, model)


class _ReadCounter(Collector):
    """A counter that takes its value from the function `read`."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._counted = 0
        self.read: Callable[[], int] = int

    def collect(self) -> Iterable[Metric]:
        """Return the current value."""
        count = self.read()
        self._counter.inc(count - self._counted)
        self._counted = count
        return self._counter.collect()


def _state_number(circuit_state: Callable[[str], str], provider: str) -> float:
    return CIRCUIT_STATES.index(circuit_state(provider))


def _next_expiry(times: Sequence[float], wall_clock: Callable[[], float]) -> float:
    now = wall_clock()
    return min((time for time in times if time > now), default=max(times))
