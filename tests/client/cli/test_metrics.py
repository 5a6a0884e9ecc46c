"""`aimanager metrics`: table, JSON and filters."""

from __future__ import annotations

import json

import pytest
from google.protobuf.duration_pb2 import Duration

from aimanager.v1 import metrics_pb2
from tests.support.console import CommandRunner
from tests.support.fake_gateway.metrics import SUMMARY


@pytest.fixture(autouse=True)
def summary(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("GetMetricsSummary", SUMMARY)


def test_summary_is_a_table(aimanager: CommandRunner) -> None:
    code = aimanager("metrics", "--provider", "mock", "--model", "mock-large", "--window", "60")

    assert code == 0
    assert aimanager.out == (
        "MODEL            REQUESTS  ERRORS  FALLBACKS  INPUT  OUTPUT  COST\n"
        "mock/mock-large  10        4       3          4k     1k      $0.25\n"
        "total            10        4       3          4k     1k      $0.25\n"
        "\n"
        "MODEL            P50     P95     FIRST TOKEN\n"
        "mock/mock-large  500 ms  2.00 s  100 ms\n"
        "total            500 ms  2.00 s  100 ms\n"
        "\n"
        "errors: PROVIDER_OVERLOADED 3, CANCELLED 1\n"
        "2 requests in flight · since 2026-01-02 03:04 UTC\n"
    )
    assert aimanager.fake.received[0].request == metrics_pb2.GetMetricsSummaryRequest(
        window=Duration(seconds=60), provider="mock", model="mock-large"
    )


def test_the_tables_fit_80_columns(aimanager: CommandRunner) -> None:
    summary = metrics_pb2.GetMetricsSummaryResponse()
    summary.CopyFrom(SUMMARY)
    for row in (*summary.rows, summary.total):
        row.provider, row.model = "openrouter", "deepseek/deepseek-r1-distill-llama-70b-instruct"
        row.requests = row.failures = row.fallbacks = 12_345_678
        row.input_tokens = row.output_tokens = 123_456_789
        row.cost.total_nanos = 12_345_678_900_000
    aimanager.fake.respond("GetMetricsSummary", summary)

    aimanager("metrics")

    assert max(map(len, aimanager.out.splitlines())) <= 80
    assert "openrouter/deepseek" in aimanager.out


def test_empty_summary_has_a_total_only(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("GetMetricsSummary", metrics_pb2.GetMetricsSummaryResponse())

    assert aimanager("metrics") == 0

    assert aimanager.out == (
        "MODEL  REQUESTS  ERRORS  FALLBACKS  INPUT  OUTPUT  COST\n"
        "total  0         0       0          0      0       –\n"
        "\n"
        "MODEL  P50  P95  FIRST TOKEN\n"
        "total  –    –    –\n"
        "\n"
        "0 requests in flight\n"
    )


def test_json_prints_whole_summary(aimanager: CommandRunner) -> None:
    aimanager("metrics", "--json")

    assert json.loads(aimanager.out)["total"]["requests"] == "10"
