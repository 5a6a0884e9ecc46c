"""Quality of providers and their models over a time window."""

from __future__ import annotations

from dataclasses import dataclass

from .._convert.scalars import read_optional, read_seconds
from ..v1 import quality_pb2
from .presentation import short_repr


@dataclass(frozen=True, slots=True, repr=False)
class ModelQuality:
    """Quality of one model. A value is None without samples. `proto` is the message from the server.

    >>> ModelQuality(quality_pb2.ModelQuality(model="claude-opus-5-5", sample_count=3)).success_rate is None
    True
    """

    proto: quality_pb2.ModelQuality

    @property
    def model(self) -> str:
        """Model id without the provider."""
        return self.proto.model

    @property
    def sample_count(self) -> int:
        """Number of attempts that were measured."""
        return self.proto.sample_count

    @property
    def success_rate(self) -> float | None:
        """Share of successful attempts, 0 to 1."""
        return read_optional(self.proto, "success_rate")

    @property
    def latency_p50(self) -> float | None:
        """Median latency in seconds."""
        return read_seconds(self.proto, "latency_p50")

    @property
    def latency_p95(self) -> float | None:
        """95th percentile of the latency in seconds."""
        return read_seconds(self.proto, "latency_p95")

    @property
    def time_to_first_token_p50(self) -> float | None:
        """Median time to the first token in seconds, streams only."""
        return read_seconds(self.proto, "time_to_first_token_p50")

    @property
    def time_to_first_token_p95(self) -> float | None:
        """95th percentile of the time to the first token in seconds, streams only."""
        return read_seconds(self.proto, "time_to_first_token_p95")

    @property
    def output_tokens_per_second(self) -> float | None:
        """Median output rate."""
        return read_optional(self.proto, "output_tokens_per_second")

    @property
    def conformance(self) -> float | None:
        """Share of structured outputs that matched their schema without a repair, 0 to 1."""
        return read_optional(self.proto, "conformance")

    def __repr__(self) -> str:
        return short_repr(self, "model", "sample_count", "success_rate", "latency_p50")


@dataclass(frozen=True, slots=True, repr=False)
class ProviderQuality:
    """Quality of one provider. Scores are 0 to 1, or None without samples. `proto` is the message from the server.

    >>> ProviderQuality(quality_pb2.ProviderQuality(provider="claude", speed=0.5)).speed
    0.5
    """

    proto: quality_pb2.ProviderQuality

    @property
    def provider(self) -> str:
        """Provider name."""
        return self.proto.provider

    @property
    def sample_count(self) -> int:
        """Number of attempts that were measured."""
        return self.proto.sample_count

    @property
    def overall(self) -> float | None:
        """Mean of the scores that are not None."""
        return read_optional(self.proto, "overall")

    @property
    def availability(self) -> float | None:
        """Share of successful attempts; errors of callers do not count."""
        return read_optional(self.proto, "availability")

    @property
    def speed(self) -> float | None:
        """Time to first token and output rate, relative to the fastest provider in the assessment."""
        return read_optional(self.proto, "speed")

    @property
    def economy(self) -> float | None:
        """Price of its tokens, relative to the cheapest provider in the assessment."""
        return read_optional(self.proto, "economy")

    @property
    def conformance(self) -> float | None:
        """Share of structured outputs that matched their schema without a repair."""
        return read_optional(self.proto, "conformance")

    @property
    def findings(self) -> tuple[str, ...]:
        """Notable observations, as text."""
        return tuple(self.proto.findings)

    @property
    def models(self) -> tuple[ModelQuality, ...]:
        """Quality by model."""
        return tuple(map(ModelQuality, self.proto.models))

    def __repr__(self) -> str:
        return short_repr(self, "provider", "sample_count", "overall", "availability")
