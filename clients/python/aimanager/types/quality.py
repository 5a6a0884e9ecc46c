"""How good the providers and their models were over a while."""

from __future__ import annotations

from dataclasses import dataclass

from .._convert.scalars import number, seconds
from ..v1 import health_pb2


@dataclass(frozen=True, slots=True)
class ModelQuality:
    """How good one model was. None: nothing to tell by. `proto` is what travelled."""

    proto: health_pb2.ModelQuality

    @property
    def model(self) -> str:
        """Id of the model."""
        return self.proto.model

    @property
    def sample_count(self) -> int:
        """Attempts it is told by."""
        return self.proto.sample_count

    @property
    def success_rate(self) -> float | None:
        """Share of attempts that ended in an answer, 0 to 1."""
        return number(self.proto, "success_rate")

    @property
    def latency_p50(self) -> float | None:
        """Seconds that half of the answers took less than."""
        return seconds(self.proto, "latency_p50")

    @property
    def latency_p95(self) -> float | None:
        """Seconds that 95 % of the answers took less than."""
        return seconds(self.proto, "latency_p95")

    @property
    def time_to_first_token_p50(self) -> float | None:
        """Seconds within which half of the streamed answers had begun."""
        return seconds(self.proto, "time_to_first_token_p50")

    @property
    def time_to_first_token_p95(self) -> float | None:
        """Seconds within which 95 % of the streamed answers had begun."""
        return seconds(self.proto, "time_to_first_token_p95")

    @property
    def output_tokens_per_second(self) -> float | None:
        """Half of the answers were written slower."""
        return number(self.proto, "output_tokens_per_second")

    @property
    def conformance(self) -> float | None:
        """Share of structured outputs that met their schema at once, 0 to 1."""
        return number(self.proto, "conformance")


@dataclass(frozen=True, slots=True)
class ProviderQuality:
    """How good one provider was. Scores are from 0 to 1; None: nothing to tell by. `proto` is what travelled."""

    proto: health_pb2.ProviderQuality

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self.proto.provider

    @property
    def sample_count(self) -> int:
        """Attempts it is told by."""
        return self.proto.sample_count

    @property
    def overall(self) -> float | None:
        """The mean of the scores that are not None."""
        return number(self.proto, "overall")

    @property
    def availability(self) -> float | None:
        """Share of attempts that ended in an answer; what a caller did wrong does not count."""
        return number(self.proto, "availability")

    @property
    def speed(self) -> float | None:
        """How soon its answers begin and how fast they are written, beside the fastest of those assessed."""
        return number(self.proto, "speed")

    @property
    def economy(self) -> float | None:
        """What its tokens cost, beside the cheapest of those assessed."""
        return number(self.proto, "economy")

    @property
    def conformance(self) -> float | None:
        """Share of structured outputs that met their schema at once."""
        return number(self.proto, "conformance")

    @property
    def findings(self) -> tuple[str, ...]:
        """What stands out, in words."""
        return tuple(self.proto.findings)

    @property
    def models(self) -> tuple[ModelQuality, ...]:
        """The figures, by model."""
        return tuple(map(ModelQuality, self.proto.models))
