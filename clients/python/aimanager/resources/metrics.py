"""What was asked through a gateway, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .._convert.checks import duration, readable
from .._convert.scalars import amount, moment, seconds
from .._transport.channel import AsyncConnection, Connection
from .._transport.errors import translated
from .._transport.settings import HOUR_SECONDS, READ_SECONDS
from ..v1 import health_pb2


@dataclass(frozen=True, slots=True)
class MetricsRow:
    """Sums of one provider and model, or of all of them: then both names are empty. `proto` is what travelled.

    Calls are counted at the target that was asked first, tokens and money at each that was asked.
    """

    proto: health_pb2.MetricsRow

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.proto.provider

    @property
    def model(self) -> str:
        """Id of the model."""
        return self.proto.model

    @property
    def requests_total(self) -> int:
        """Calls that ended."""
        return self.proto.requests

    @property
    def requests_success(self) -> int:
        """Of these, calls that were answered."""
        return self.proto.requests - self.proto.failures

    @property
    def requests_error(self) -> int:
        """Of these, calls that failed, cancelled ones included."""
        return self.proto.failures

    @property
    def errors_by_reason(self) -> Mapping[str, int]:
        """Calls that failed, by `reason` as AIError has it."""
        return dict(self.proto.failures_by_reason)

    @property
    def fallbacks(self) -> int:
        """Calls that another target answered."""
        return self.proto.fallbacks

    @property
    def input_tokens(self) -> int:
        """Tokens sent."""
        return self.proto.input_tokens

    @property
    def output_tokens(self) -> int:
        """Tokens produced."""
        return self.proto.output_tokens

    @property
    def tokens_total(self) -> int:
        """Tokens sent and produced, those of failed attempts included."""
        return self.proto.input_tokens + self.proto.output_tokens

    @property
    def tokens_per_request(self) -> float | None:
        """The mean over the calls that ended; None where there were none."""
        return self.tokens_total / self.proto.requests if self.proto.requests else None

    @property
    def cost_total(self) -> Decimal | None:
        """Money in `currency`, where prices are known; None where none is, which is not zero."""
        return amount(self.proto, "cost")

    @property
    def currency(self) -> str:
        """Of the cost, such as USD."""
        return self.proto.cost.currency_code

    @property
    def request_duration(self) -> float | None:
        """Seconds that half of the answers took less than; None where there were none."""
        return seconds(self.proto, "latency_p50")

    @property
    def request_duration_p95(self) -> float | None:
        """Seconds that 95 % of the answers took less than; None where there were none."""
        return seconds(self.proto, "latency_p95")

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds within which half of the answers had begun; None where there were none."""
        return seconds(self.proto, "time_to_first_token_p50")


@dataclass(frozen=True, slots=True)
class MetricsSummary:
    """Sums over a window of time; MetricsRow says what each means. `proto` is what travelled."""

    proto: health_pb2.GetMetricsSummaryResponse

    @property
    def total(self) -> MetricsRow:
        """Everything that was asked for together."""
        return MetricsRow(self.proto.total)

    @property
    def rows(self) -> tuple[MetricsRow, ...]:
        """The same by provider and model."""
        return tuple(map(MetricsRow, self.proto.rows))

    @property
    def requests_total(self) -> int:
        """Calls that ended."""
        return self.total.requests_total

    @property
    def requests_success(self) -> int:
        """Of these, calls that were answered."""
        return self.total.requests_success

    @property
    def requests_error(self) -> int:
        """Of these, calls that failed, cancelled ones included."""
        return self.total.requests_error

    @property
    def tokens_total(self) -> int:
        """Tokens sent and produced, those of failed attempts included."""
        return self.total.tokens_total

    @property
    def tokens_per_request(self) -> float | None:
        """The mean over the calls that ended; None where there were none."""
        return self.total.tokens_per_request

    @property
    def cost_total(self) -> Decimal | None:
        """Money in `currency`, where prices are known; None where none is, which is not zero."""
        return self.total.cost_total

    @property
    def currency(self) -> str:
        """Of the cost, such as USD."""
        return self.total.currency

    @property
    def request_duration(self) -> float | None:
        """Seconds that half of the answers took less than; None where there were none."""
        return self.total.request_duration

    @property
    def requests_in_flight(self) -> int:
        """Calls under way now."""
        return self.proto.requests_in_flight

    @property
    def start_time(self) -> datetime | None:
        """Where the window begins, in UTC; not before the server did."""
        return moment(self.proto, "start_time")

    @property
    def end_time(self) -> datetime | None:
        """Where the window ends, in UTC."""
        return moment(self.proto, "end_time")

    @property
    def uptime(self) -> float | None:
        """Seconds since the server began."""
        return seconds(self.proto, "uptime")


class Metrics:
    """What was asked through a gateway, and what it took."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_summary(
        self, provider: str | None = None, *, model: str | None = None, window: float = HOUR_SECONDS
    ) -> MetricsSummary:
        """Sums of the last `window` seconds, at most a day: of all, of one provider, or of one model by its id.

        Raises AIError.
        """
        request = _summary_request(provider, model, window)
        with translated(self._connection):
            return MetricsSummary(
                self._connection.stubs.health.GetMetricsSummary(
                    request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
                )
            )


class AsyncMetrics:
    """What was asked through a gateway, and what it took, for asyncio."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get_summary(
        self, provider: str | None = None, *, model: str | None = None, window: float = HOUR_SECONDS
    ) -> MetricsSummary:
        """Sums of the last `window` seconds, at most a day: of all, of one provider, or of one model by its id.

        Raises AIError.
        """
        request = _summary_request(provider, model, window)
        with translated(self._connection):
            return MetricsSummary(
                await self._connection.stubs.health.GetMetricsSummary(
                    request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
                )
            )


def _summary_request(provider: str | None, model: str | None, window: float) -> health_pb2.GetMetricsSummaryRequest:
    return health_pb2.GetMetricsSummaryRequest(
        window=duration("window", window),
        provider=readable("provider", provider or ""),
        model=readable("model", model or ""),
    )
