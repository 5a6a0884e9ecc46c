"""Every series the server exports, declared in one place; labels are closed sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..core.errors import GatewayError, Overloaded, RateLimited
from ..core.usage import Cost, Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEAD_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
TOKENS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
OTHER = "other"
IN_FLIGHT = "in_flight"
CIRCUITS = ("closed", "half_open", "open")
SUCCESS = "success"


class Outcomes:
    """The series of one provider and model, bound once so that a call looks nothing up."""

    def __init__(self, metrics: Metrics, provider: str, model: str) -> None:
        labels = (provider, model)
        self.unary = metrics.requests.labels(*labels, "unary")
        self.stream = metrics.requests.labels(*labels, "stream")
        self.latency = metrics.latency.labels(*labels)
        self.first_token = metrics.first_token.labels(*labels)
        self.input_tokens = metrics.tokens.labels(*labels, "input")
        self.output_tokens = metrics.tokens.labels(*labels, "output")
        self.cache_read_tokens = metrics.tokens.labels(*labels, "cache_read")
        self.cache_write_tokens = metrics.tokens.labels(*labels, "cache_write")
        self.reasoning_tokens = metrics.tokens.labels(*labels, "reasoning")
        self.tokens_per_request = metrics.tokens_per_request.labels(*labels)
        self.cost = metrics.cost.labels(*labels)
        self.retries = metrics.retries.labels(provider)
        self.fallbacks = metrics.fallbacks.labels(provider)
        self.hedges = metrics.hedges.labels(*labels)
        self.restarted = metrics.interruptions.labels(*labels, "restarted")
        self.interrupted = metrics.interruptions.labels(*labels, "failed")
        self._attempt = cache(partial(metrics.attempts.labels, *labels))

    def attempted(self, reason: str) -> None:
        """Count an attempt that ended, by the reason of its failure; empty is a success."""
        self._attempt(reason or SUCCESS).inc()

    def spent(self, usage: Usage, cost: Cost | None) -> None:
        """Count tokens and money."""
        self.input_tokens.inc(usage.input_tokens)
        self.output_tokens.inc(usage.output_tokens)
        if usage.cache_read_tokens:
            self.cache_read_tokens.inc(usage.cache_read_tokens)
        if usage.cache_write_tokens:
            self.cache_write_tokens.inc(usage.cache_write_tokens)
        if usage.reasoning_tokens:
            self.reasoning_tokens.inc(usage.reasoning_tokens)
        if cost is not None:
            self.cost.inc(cost.total_nanos / 1e9)


class Metrics:
    """All series, on a registry of their own.

    `known` says whether a provider and model may be a label; any other model counts as "other", so that callers cannot
    make series by inventing names.
    """

    def __init__(self, known: Callable[[str, str], bool]) -> None:
        registry = self.registry = CollectorRegistry()
        call = ["provider", "model"]
        self.requests = Counter("aimanager_requests", "Calls that were decided.", [*call, "method"], registry=registry)
        self.errors = Counter("aimanager_errors", "Calls that failed.", ["provider", "reason"], registry=registry)
        self.latency = Histogram(
            "aimanager_latency_seconds", "Request to end of answer.", call, registry=registry, buckets=SECONDS
        )
        self.first_token = Histogram(
            "aimanager_time_to_first_token_seconds", "Request to first content.", call, registry=registry,
            buckets=SECONDS,
        )  # fmt: skip
        self.tokens = Counter("aimanager_tokens", "Tokens by kind.", [*call, "kind"], registry=registry)
        self.tokens_per_request = Histogram(
            "aimanager_tokens_per_request", "Tokens of one call.", call, registry=registry, buckets=TOKENS
        )
        self.cost = Counter("aimanager_cost_usd", "US dollars spent, where a price is known.", call, registry=registry)
        self.attempts = Counter(
            "aimanager_attempts", "Sendings to a provider, by how they ended.", [*call, "outcome"], registry=registry
        )
        self.retries = Counter(
            "aimanager_retries", "Sendings again to the same target.", ["provider"], registry=registry
        )
        self.fallbacks = Counter(
            "aimanager_fallbacks", "Calls that left a provider for the next target.", ["provider"], registry=registry
        )
        self.hedges = Counter(
            "aimanager_hedges", "Calls that were sent a second time to win time.", call, registry=registry
        )
        self.interruptions = Counter(
            "aimanager_interruptions", "Answers that broke off: begun again (restarted) or lost (failed).",
            [*call, "outcome"], registry=registry,
        )  # fmt: skip
        self.keys_quarantined = Gauge(
            "aimanager_keys_quarantined", "Keys of the server's that a provider refused lately.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self.probes = Counter(
            "aimanager_probes", "Looks whether a provider answers again, by outcome.", ["provider", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.overhead = Histogram(
            "aimanager_overhead_seconds", "Time to first content that was not spent waiting on a provider.",
            registry=registry, buckets=OVERHEAD_SECONDS,
        )  # fmt: skip
        self.in_flight = Gauge("aimanager_in_flight", "Calls under way.", registry=registry)
        self.breaker = Gauge(
            "aimanager_breaker_state", "0 closed, 1 half-open, 2 open: the worst of the provider's.", ["provider"],
            registry=registry,
        )  # fmt: skip
        self.rejections = Counter(
            "aimanager_limiter_rejections", "Calls refused by a limit of ours.", ["quota"], registry=registry
        )
        self.rpc = Histogram(
            "rpc_server_call_duration_seconds", "Duration of each RPC.", ["rpc_method", "rpc_response_status_code"],
            registry=registry, buckets=SECONDS,
        )  # fmt: skip
        self.loop_lag = Gauge("aimanager_loop_lag_seconds", "How late the event loop is.", registry=registry)
        self.known = known
        self._outcomes = cache(self._bind)
        self._rpc = cache(self.rpc.labels)

    def outcomes(self, provider: str, model: str) -> Outcomes:
        """The series of a provider and model."""
        return self._outcomes(provider, model if self.known(provider, model) else OTHER)

    def rpc_finished(self, method: str, code: str, seconds: float) -> None:
        """An RPC ended with a gRPC status code, by name."""
        self._rpc(method, code).observe(seconds)

    def refused(self, fault: GatewayError) -> None:
        """A call was turned away; counted where a limit of ours did it."""
        if isinstance(fault, RateLimited | Overloaded):
            self.rejections.labels(fault.metadata.get("quota", IN_FLIGHT)).inc()

    def watch_breakers(self, providers: Iterable[str], circuit: Callable[[str], str]) -> None:
        """Export the circuit of each provider as it is when somebody reads."""
        for provider in providers:
            self.breaker.labels(provider).set_function(partial(_severity, circuit, provider))

    def watch_keys(self, providers: Iterable[str], quarantined: Callable[[str], int]) -> None:
        """Export how many keys of each provider rest as it is when somebody reads, in a thread of its own."""
        for provider in providers:
            self.keys_quarantined.labels(provider).set_function(partial(quarantined, provider))

    def probed(self, provider: str, outcome: str) -> None:
        """A provider was asked whether it answers again; the outcome is "success" or the reason of its failure."""
        self.probes.labels(provider, outcome).inc()

    def watch_loop(self, lag: Callable[[], float]) -> None:
        """Export how late the event loop is, in seconds, when somebody reads."""
        self.loop_lag.set_function(lag)

    def _bind(self, provider: str, model: str) -> Outcomes:
        return Outcomes(self, provider, model)


def _severity(circuit: Callable[[str], str], provider: str) -> float:
    return CIRCUITS.index(circuit(provider))
