"""Sums and assessments: what is asked, what is read, and how the command shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager import AIManager, AsyncAIManager, InvalidRequestError
from aimanager.v1 import health_pb2
from tests.support.console import Command
from tests.support.fake_gateway.metrics import ASSESSED, SUMMED
from tests.support.fake_gateway.server import FakeGateway


@pytest.fixture(autouse=True)
def counting(fake: FakeGateway) -> None:
    fake.will("GetMetricsSummary", SUMMED)
    fake.will("AssessProviders", ASSESSED)


def test_a_summary_is_asked_for_an_hour_of_everything(fake: FakeGateway, ai: AIManager) -> None:
    ai.metrics.get_summary()

    assert fake.received[0].request == health_pb2.GetMetricsSummaryRequest(window=Duration(seconds=3600))
    assert fake.received[0].seconds < 11


def test_a_summary_may_be_of_one_model_and_another_time(fake: FakeGateway, ai: AIManager) -> None:
    ai.metrics.get_summary("mock", model="mock-large", window=120)

    assert fake.received[0].request == health_pb2.GetMetricsSummaryRequest(
        window=Duration(seconds=120), provider="mock", model="mock-large"
    )


def test_a_summary_tells_sums(ai: AIManager) -> None:
    summary = ai.metrics.get_summary()

    assert (summary.requests_total, summary.requests_success, summary.requests_error) == (10, 6, 4)
    assert (summary.tokens_total, summary.tokens_per_request) == (5000, 500.0)
    assert (summary.cost_total, summary.currency) == (Decimal("0.25"), "USD")
    assert (summary.request_duration, summary.requests_in_flight, summary.uptime) == (0.5, 2, 90.0)
    assert summary.start_time == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert summary.end_time == datetime(2026, 1, 2, 4, 4, tzinfo=UTC)
    assert summary.proto == SUMMED


def test_a_summary_has_rows(ai: AIManager) -> None:
    [row] = ai.metrics.get_summary().rows

    assert (row.provider, row.model, row.requests_total, row.fallbacks) == ("mock", "mock-large", 10, 3)
    assert (row.input_tokens, row.output_tokens) == (4000, 1000)
    assert (row.request_duration, row.request_duration_p95, row.time_to_first_token) == (0.5, 2.0, 0.1)
    assert row.errors_by_reason == {"CANCELLED": 1, "PROVIDER_OVERLOADED": 3}


def test_a_summary_of_nothing_has_no_means_and_no_price(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("GetMetricsSummary", health_pb2.GetMetricsSummaryResponse())

    summary = ai.metrics.get_summary()

    assert (summary.requests_total, summary.tokens_total, summary.rows) == (0, 0, ())
    assert (summary.tokens_per_request, summary.cost_total, summary.request_duration) == (None, None, None)
    assert (summary.start_time, summary.uptime, summary.currency) == (None, None, "")


def test_an_assessment_tells_scores(fake: FakeGateway, ai: AIManager) -> None:
    best, unknown = ai.health.assess(["mock", "other"], window=60)

    assert fake.received[0].request == health_pb2.AssessProvidersRequest(
        providers=["mock", "other"], window=Duration(seconds=60)
    )
    assert (best.provider, best.sample_count, best.overall, best.availability) == ("mock", 7, 0.75, 0.5)
    assert (best.speed, best.economy, best.conformance) == (1.0, 0.0, None)
    assert best.findings == ("Half of its calls fail.",)
    assert (unknown.overall, unknown.models) == (None, ())
    [model] = best.models
    assert (model.model, model.sample_count, model.success_rate) == ("mock-large", 7, 0.5)
    assert (model.latency_p50, model.latency_p95) == (0.5, 2.0)
    assert (model.time_to_first_token_p50, model.time_to_first_token_p95) == (0.1, None)
    assert (model.output_tokens_per_second, model.conformance) == (42.5, 1.0)


async def test_the_async_client_reads_the_same(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    summary = await async_ai.metrics.get_summary("mock")
    providers = await async_ai.health.assess()

    assert summary.requests_total == 10
    assert [quality.provider for quality in providers] == ["mock", "other"]
    assert fake.received[1].request.window == Duration(seconds=3600)


@pytest.mark.parametrize("window", [0, -1, None, "hour"])
def test_a_window_is_a_positive_time(ai: AIManager, window: Any) -> None:
    with pytest.raises(InvalidRequestError, match="window must be a positive number of seconds"):
        ai.metrics.get_summary(window=window)
    with pytest.raises(InvalidRequestError, match="window must be"):
        ai.health.assess(window=window)


def test_metrics_are_a_table(aimanager: Command) -> None:
    code = aimanager("metrics", "--provider", "mock", "--model", "mock-large", "--window", "60")

    assert code == 0
    assert aimanager.out == (
        "MODEL            CALLS  FAILED  FELL BACK  IN  OUT  COST   P50     P95     FIRST\n"
        "mock/mock-large  10     4       3          4k  1k   $0.25  500 ms  2.00 s  100 ms\n"
        "all              10     4       3          4k  1k   $0.25  500 ms  2.00 s  100 ms\n"
        "failed: PROVIDER_OVERLOADED 3, CANCELLED 1\n"
        "2 under way · since 2026-01-02 03:04 UTC\n"
    )
    assert aimanager.fake.received[0].request == health_pb2.GetMetricsSummaryRequest(
        window=Duration(seconds=60), provider="mock", model="mock-large"
    )


def test_metrics_of_nothing_are_a_table_too(aimanager: Command) -> None:
    aimanager.fake.will("GetMetricsSummary", health_pb2.GetMetricsSummaryResponse())

    assert aimanager("metrics") == 0

    assert aimanager.out == (
        "MODEL  CALLS  FAILED  FELL BACK  IN  OUT  COST  P50  P95  FIRST\n"
        "all    0      0       0          0   0    ?     -    -    -\n"
        "0 under way\n"
    )


def test_metrics_are_json(aimanager: Command) -> None:
    aimanager("metrics", "--json")

    assert json.loads(aimanager.out)["total"]["requests"] == "10"


def test_an_assessment_is_two_tables(aimanager: Command) -> None:
    assert aimanager("health", "--assess") == 0

    assert aimanager.out == (
        "PROVIDER  SAMPLES  OVERALL  AVAILABILITY  SPEED  ECONOMY  CONFORMANCE\n"
        "mock      7        0.75     0.50          1.00   0.00     -\n"
        "other     0        -        -             -      -        -\n"
        "mock: Half of its calls fail.\n"
        "\n"
        "MODEL            SAMPLES  SUCCESS  P50     P95     FIRST P50  FIRST P95  TOKENS/S  CONFORMANCE\n"
        "mock/mock-large  7        0.50     500 ms  2.00 s  100 ms     -          42.5      1.00\n"
    )


def test_an_assessment_without_samples_is_one_table(aimanager: Command) -> None:
    rows = [health_pb2.ProviderQuality(provider="mock", models=[health_pb2.ModelQuality(model="mock-large")])]
    aimanager.fake.will("AssessProviders", health_pb2.AssessProvidersResponse(providers=rows[:0]))

    aimanager("health", "--assess")

    assert aimanager.out == "PROVIDER  SAMPLES  OVERALL  AVAILABILITY  SPEED  ECONOMY  CONFORMANCE\n"


def test_an_assessment_is_json(aimanager: Command) -> None:
    aimanager("health", "--assess", "--json")

    assert [row["provider"] for row in json.loads(aimanager.out)] == ["mock", "other"]
