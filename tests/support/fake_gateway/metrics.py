"""A metrics summary and a provider assessment."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import metrics_pb2, quality_pb2, usage_pb2

START = 1_767_323_040  # 2026-01-02 03:04 UTC
TENTH_OF_A_SECOND, HALF_A_SECOND = Duration(nanos=100_000_000), Duration(nanos=500_000_000)


def metrics_row(provider: str = "", model: str = "") -> metrics_pb2.MetricsRow:
    """Return metrics of ten requests, four of which failed."""
    return metrics_pb2.MetricsRow(
        provider=provider,
        model=model,
        requests=10,
        failures=4,
        fallbacks=3,
        input_tokens=4000,
        output_tokens=1000,
        cost=usage_pb2.Cost(currency_code="USD", total_nanos=250_000_000, estimated=True),
        latency_p50=HALF_A_SECOND,
        latency_p95=Duration(seconds=2),
        time_to_first_token_p50=TENTH_OF_A_SECOND,
        failures_by_reason={"CANCELLED": 1, "PROVIDER_OVERLOADED": 3},
    )


SUMMARY = metrics_pb2.GetMetricsSummaryResponse(
    start_time=Timestamp(seconds=START),
    end_time=Timestamp(seconds=START + 3600),
    total=metrics_row(),
    rows=[metrics_row("mock", "mock-large")],
    requests_in_flight=2,
    uptime=Duration(seconds=90),
)
ASSESSMENT = quality_pb2.AssessProvidersResponse(
    providers=[
        quality_pb2.ProviderQuality(
            provider="mock",
            sample_count=7,
            overall=0.75,
            availability=0.5,
            speed=1.0,
            economy=0.0,
            findings=["Half of its attempts failed."],
            models=[
                quality_pb2.ModelQuality(
                    model="mock-large",
                    sample_count=7,
                    success_rate=0.5,
                    latency_p50=HALF_A_SECOND,
                    latency_p95=Duration(seconds=2),
                    time_to_first_token_p50=TENTH_OF_A_SECOND,
                    output_tokens_per_second=42.5,
                    conformance=1.0,
                )
            ],
        ),
        quality_pb2.ProviderQuality(provider="other"),
    ]
)
