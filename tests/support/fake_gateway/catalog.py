"""Two models and two health states of a provider."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import health_pb2, model_pb2

LARGE = model_pb2.Model(
    id="mock/mock-large",
    provider="mock",
    model="mock-large",
    display_name="Mock Large",
    aliases=["latest"],
    capabilities=[
        model_pb2.CapabilitySupport(capability=model_pb2.CAPABILITY_STREAMING, level=model_pb2.SUPPORT_LEVEL_NATIVE),
        model_pb2.CapabilitySupport(
            capability=model_pb2.CAPABILITY_STRUCTURED_OUTPUT, level=model_pb2.SUPPORT_LEVEL_EMULATED
        ),
        model_pb2.CapabilitySupport(capability=model_pb2.CAPABILITY_IMAGE_INPUT, level=model_pb2.SUPPORT_LEVEL_NONE),
    ],
    context_window_tokens=200_000,
    max_output_tokens=8_192,
    pricing=model_pb2.Pricing(
        currency_code="USD",
        input_nanos_per_million_tokens=2_500_000_000,
        output_nanos_per_million_tokens=10_000_000_000,
    ),
    release_time=Timestamp(seconds=86_400),
    available=True,
)
SMALL = model_pb2.Model(id="mock/mock-small", provider="mock", model="mock-small")
ROUTED = model_pb2.Model(id="mock/mock-routed", provider="mock", model="mock-routed", routes=["cheap", "smart"])
DOWN = health_pb2.ProviderHealth(
    provider="mock",
    status=health_pb2.PROVIDER_STATUS_DOWN,
    circuit_breaker=health_pb2.CircuitBreaker(
        state=health_pb2.CIRCUIT_STATE_OPEN, consecutive_failures=5, retry_time=Timestamp(seconds=60)
    ),
    latency_p50=Duration(nanos=250_000_000),
    error_rate=0.5,
    last_failure_time=Timestamp(seconds=30),
    last_error_reason="PROVIDER_ERROR",
    solution="Wait.",
)
UP = health_pb2.ProviderHealth(provider="mock", status=health_pb2.PROVIDER_STATUS_HEALTHY)
