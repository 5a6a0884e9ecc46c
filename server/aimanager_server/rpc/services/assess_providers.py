"""Answers AssessProviders: how good the providers and their models were over a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aimanager.v1 import health_pb2

from ...core.usage import Cost, Usage, UsageSource
from ...telemetry.model_stats import HOUR_SECONDS, ModelFigures
from ...telemetry.scorecard import Assessment, assess
from ..convert.responses import text
from ..convert.times import duration, window
from .health import ProviderHealth

MIX = Usage(input_tokens=3000, output_tokens=1000, source=UsageSource.REPORTED)
"""The usual mix of tokens, by which prices are compared."""

Price = Callable[[str, str, Usage], Cost | None]
"""What so many tokens of a provider's model cost; None where that is not known."""


class Figures(Protocol):
    """Knows what the attempts of the last hour showed."""

    def rows(self, window: float) -> tuple[ModelFigures, ...]:
        """Figures of the last `window` seconds, by provider and model."""
        ...


class Assessing:
    """AssessProviders over the figures of traffic; `price` must be in one currency."""

    def __init__(self, health: ProviderHealth, figures: Figures, price: Price) -> None:
        self._health = health
        self._figures = figures
        self._price = price

    def __call__(self, request: health_pb2.AssessProvidersRequest) -> health_pb2.AssessProvidersResponse:
        """The providers asked about, each once, beside one another. Raises UnknownProvider and InvalidRequest."""
        names = sorted(set(request.providers)) or self._health.providers()
        for name in names:
            self._health.report(name)
        figures = self._figures.rows(window(request, HOUR_SECONDS, HOUR_SECONDS))
        return health_pb2.AssessProvidersResponse(providers=map(_written, assess(names, figures, self._mixed)))

    def _mixed(self, provider: str, model: str) -> float | None:
        cost = self._price(provider, model, MIX)
        return None if cost is None else float(cost.total_nanos)


def _written(one: Assessment) -> health_pb2.ProviderQuality:
    return health_pb2.ProviderQuality(
        provider=one.provider,
        sample_count=one.samples,
        overall=one.overall,
        availability=one.availability,
        speed=one.speed,
        economy=one.economy,
        conformance=one.conformance,
        findings=one.findings,
        models=map(_model, one.models),
    )


def _model(row: ModelFigures) -> health_pb2.ModelQuality:
    return health_pb2.ModelQuality(
        model=text(row.model),
        sample_count=row.samples,
        success_rate=row.answered / row.samples if row.samples else None,
        latency_p50=duration(row.latency_p50),
        latency_p95=duration(row.latency_p95),
        time_to_first_token_p50=duration(row.first_token_p50),
        time_to_first_token_p95=duration(row.first_token_p95),
        output_tokens_per_second=row.tokens_per_second,
        conformance=row.met / row.judged if row.judged else None,
    )
