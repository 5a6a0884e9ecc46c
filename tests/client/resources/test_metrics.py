"""Metrics summary: filters and values."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager import AIManager, AsyncAIManager, InvalidRequestError
from aimanager.v1 import metrics_pb2
from tests.support.fake_gateway.metrics import SUMMARY
from tests.support.fake_gateway.server import FakeGateway


@pytest.fixture(autouse=True)
def summary_response(fake: FakeGateway) -> None:
    fake.respond("GetMetricsSummary", SUMMARY)


def test_default_window_is_an_hour(fake: FakeGateway, ai: AIManager) -> None:
    ai.metrics.get_summary()

    assert fake.received[0].request == metrics_pb2.GetMetricsSummaryRequest(window=Duration(seconds=3600))
    assert fake.received[0].timeout < 11


def test_summary_is_filtered_by_provider_model_and_window(fake: FakeGateway, ai: AIManager) -> None:
    ai.metrics.get_summary("mock", model="mock-large", window=120)

    assert fake.received[0].request == metrics_pb2.GetMetricsSummaryRequest(
        window=Duration(seconds=120), provider="mock", model="mock-large"
    )


def test_summary_has_totals(ai: AIManager) -> None:
    summary = ai.metrics.get_summary()

    assert (summary.requests_total, summary.requests_success, summary.requests_error) == (10, 6, 4)
    assert (summary.tokens_total, summary.tokens_per_request) == (5000, 500.0)
    assert (summary.cost_total, summary.currency) == (Decimal("0.25"), "USD")
    assert (summary.request_duration, summary.requests_in_flight, summary.uptime) == (0.5, 2, 90.0)
    assert summary.start_time == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert summary.end_time == datetime(2026, 1, 2, 4, 4, tzinfo=UTC)
    assert summary.proto == SUMMARY


def test_summary_has_rows_by_model(ai: AIManager) -> None:
    [row] = ai.metrics.get_summary().rows

    assert (row.provider, row.model, row.requests_total, row.fallbacks) == ("mock", "mock-large", 10, 3)
    assert (row.input_tokens, row.output_tokens) == (4000, 1000)
    assert (row.request_duration, row.request_duration_p95, row.time_to_first_token) == (0.5, 2.0, 0.1)
    assert row.errors_by_reason == {"CANCELLED": 1, "PROVIDER_OVERLOADED": 3}


def test_empty_summary_has_no_means_and_no_cost(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("GetMetricsSummary", metrics_pb2.GetMetricsSummaryResponse())

    summary = ai.metrics.get_summary()

    assert (summary.requests_total, summary.tokens_total, summary.rows) == (0, 0, ())
    assert (summary.tokens_per_request, summary.cost_total, summary.request_duration) == (None, None, None)
    assert (summary.start_time, summary.uptime, summary.currency) == (None, None, "")


async def test_async_client_reads_the_summary(async_ai: AsyncAIManager) -> None:
    summary = await async_ai.metrics.get_summary("mock")

    assert summary.requests_total == 10


@pytest.mark.parametrize("window", [0, -1, None, "hour"])
def test_window_must_be_positive(ai: AIManager, window: Any) -> None:
    with pytest.raises(InvalidRequestError, match="window must be a positive number of seconds"):
        ai.metrics.get_summary(window=window)
