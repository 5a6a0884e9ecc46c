"""Metrics of the requests that a gateway served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .._convert.scalars import read_cost, read_seconds, read_time
from ..v1 import metrics_pb2
from .presentation import short_repr


@dataclass(frozen=True, slots=True, repr=False)
class MetricsRow:
    """Metrics of one provider and model; both names are empty in the total. `proto` is the message from the server.

    Requests are counted at their first target, tokens and cost at every target that was called.

    >>> MetricsRow(metrics_pb2.MetricsRow(requests=4, input_tokens=30, output_tokens=10)).tokens_per_request
    10.0
    """

    proto: metrics_pb2.MetricsRow

    @property
    def provider(self) -> str:
        """Provider name."""
        return self.proto.provider

    @property
    def model(self) -> str:
        """Model without the provider; `other` for all models that the gateway's catalog does not list."""
        return self.proto.model

    @property
    def requests_total(self) -> int:
        """Completed requests, successful or not."""
        return self.proto.requests

    @property
    def requests_success(self) -> int:
        """Successful requests."""
        return self.proto.requests - self.proto.failures

    @property
    def requests_error(self) -> int:
        """Failed requests, including cancelled ones."""
        return self.proto.failures

    @property
    def errors_by_reason(self) -> Mapping[str, int]:
        """Failed requests by `AIError.reason`."""
        return dict(self.proto.failures_by_reason)

    @property
    def fallbacks(self) -> int:
        """Requests that a fallback served."""
        return self.proto.fallbacks

    @property
    def input_tokens(self) -> int:
        """Input tokens."""
        return self.proto.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens."""
        return self.proto.output_tokens

    @property
    def tokens_total(self) -> int:
        """Input and output tokens, including those of failed attempts."""
        return self.proto.input_tokens + self.proto.output_tokens

    @property
    def tokens_per_request(self) -> float | None:
        """Mean tokens per completed request; None without requests."""
        return self.tokens_total / self.proto.requests if self.proto.requests else None

    @property
    def cost_total(self) -> Decimal | None:
        """Cost in `currency` of the models with a known price; None, not zero, if no price is known."""
        return read_cost(self.proto, "cost")

    @property
    def cache_hits(self) -> int:
        """Requests that the response cache answered."""
        return self.proto.cache_hits

    @property
    def saved_total(self) -> Decimal | None:
        """What the responses of these requests cost when they were generated; None if no price is known."""
        return read_cost(self.proto, "saved_cost")

    @property
    def currency(self) -> str:
        """Currency of the cost, such as USD."""
        return self.proto.cost.currency_code

    @property
    def request_duration(self) -> float | None:
        """Median duration of successful requests in seconds; None without any."""
        return read_seconds(self.proto, "latency_p50")

    @property
    def request_duration_p95(self) -> float | None:
        """95th percentile of the duration in seconds; None without successful requests."""
        return read_seconds(self.proto, "latency_p95")

    @property
    def time_to_first_token(self) -> float | None:
        """Median time to the first token in seconds; None without streamed responses."""
        return read_seconds(self.proto, "time_to_first_token_p50")

    def __repr__(self) -> str:
        return short_repr(self, "provider", "model", "requests_total", "requests_error", "tokens_total", "cost_total")


@dataclass(frozen=True, slots=True, repr=False)
class MetricsSummary:
    """Metrics over a time window; MetricsRow describes each value. `proto` is the message from the server.

    >>> MetricsSummary(metrics_pb2.GetMetricsSummaryResponse(requests_in_flight=2)).requests_in_flight
    2
    """

    proto: metrics_pb2.GetMetricsSummaryResponse

    @property
    def total(self) -> MetricsRow:
        """Metrics of all providers and models together."""
        return MetricsRow(self.proto.total)

    @property
    def rows(self) -> tuple[MetricsRow, ...]:
        """Metrics by provider and model."""
        return tuple(map(MetricsRow, self.proto.rows))

    @property
    def requests_total(self) -> int:
        """Completed requests, successful or not."""
        return self.total.requests_total

    @property
    def requests_success(self) -> int:
        """Successful requests."""
        return self.total.requests_success

    @property
    def requests_error(self) -> int:
        """Failed requests, including cancelled ones."""
        return self.total.requests_error

    @property
    def tokens_total(self) -> int:
        """Input and output tokens, including those of failed attempts."""
        return self.total.tokens_total

    @property
    def tokens_per_request(self) -> float | None:
        """Mean tokens per completed request; None without requests."""
        return self.total.tokens_per_request

    @property
    def cost_total(self) -> Decimal | None:
        """Cost in `currency` of the models with a known price; None, not zero, if no price is known."""
        return self.total.cost_total

    @property
    def currency(self) -> str:
        """Currency of the cost, such as USD."""
        return self.total.currency

    @property
    def request_duration(self) -> float | None:
        """Median duration of successful requests in seconds; None without any."""
        return self.total.request_duration

    @property
    def requests_in_flight(self) -> int:
        """Requests in flight at `end_time`."""
        return self.proto.requests_in_flight

    @property
    def start_time(self) -> datetime | None:
        """Start of the window in UTC, not before the start of the server."""
        return read_time(self.proto, "start_time")

    @property
    def end_time(self) -> datetime | None:
        """End of the window in UTC."""
        return read_time(self.proto, "end_time")

    @property
    def uptime(self) -> float | None:
        """Seconds since the server started."""
        return read_seconds(self.proto, "uptime")

    def __repr__(self) -> str:
        return short_repr(self, "requests_total", "requests_error", "tokens_total", "cost_total", "requests_in_flight")
