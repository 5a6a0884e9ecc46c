"""`aimanager health`: table, JSON, changes, assessment and exit codes."""

from __future__ import annotations

import json

import pytest

from aimanager.v1 import health_pb2, quality_pb2
from tests.support.console import CommandRunner
from tests.support.fake_gateway.catalog import DOWN, UP
from tests.support.fake_gateway.metrics import ASSESSMENT
from tests.support.fake_gateway.server import FakeGateway

JSON = {
    "provider": "mock",
    "status": "PROVIDER_STATUS_HEALTHY",
    "errorRate": 0.0,
    "lastErrorReason": "",
    "solution": "",
}


def test_provider_that_is_down_exits_with_1(populated: FakeGateway) -> None:
    command = CommandRunner(populated)

    code = command("health", "--probe")

    assert code == 1
    assert command.out == (
        "PROVIDER  STATUS  CIRCUIT  P50     P95  ERRORS  LAST ERROR\n"
        "mock      DOWN    open     250 ms  –    50%     PROVIDER_ERROR\n"
        "mock: Wait.\n"
    )
    assert populated.received[0].request.probe


def test_usable_providers_come_first_within_80_columns(aimanager: CommandRunner) -> None:
    keyless = [
        health_pb2.ProviderHealth(
            provider=name, status=health_pb2.PROVIDER_STATUS_NOT_CONFIGURED, solution="Set a key. " * 12
        )
        for name in ("claude", "openai")
    ]
    degraded = health_pb2.ProviderHealth(
        provider="a" * 14, status=health_pb2.PROVIDER_STATUS_DEGRADED, last_error_reason="PROVIDER_OVERLOADED"
    )
    response = health_pb2.ListProviderHealthResponse(providers=[*keyless, DOWN, degraded, UP])
    aimanager.fake.respond("ListProviderHealth", response)

    aimanager("health")

    lines = aimanager.out.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["HEALTHY", "DEGRADED", "DOWN"]
    assert lines[4:6] == ["mock: Wait.", "Not configured: claude, openai"]
    assert max(map(len, lines)) <= 80


def test_json_lists_providers(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=[UP]))

    assert aimanager("health", "--json") == 0

    assert json.loads(aimanager.out) == [JSON]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "mock  HEALTHY  –  –  –  0%  –\n"),
        (["--json"], f"{json.dumps(JSON)}\n"),
    ],
)
def test_watch_prints_one_line_per_change(aimanager: CommandRunner, arguments: list[str], line: str) -> None:
    aimanager.fake.respond("WatchProviderHealth", [health_pb2.WatchProviderHealthResponse(provider=UP)])

    assert aimanager("health", "--watch", *arguments) == 0

    assert aimanager.out == line


def test_assessment_is_two_tables(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("AssessProviders", ASSESSMENT)

    assert aimanager("health", "--assess") == 0

    assert aimanager.out == (
        "PROVIDER  SAMPLES  OVERALL  AVAILABILITY  SPEED  ECONOMY  CONFORMANCE\n"
        "mock      7        0.75     0.50          1.00   0.00     –\n"
        "other     0        –        –             –      –        –\n"
        "mock: Half of its attempts failed.\n"
        "\n"
        "MODEL            SAMPLES  SUCCESS  P50     P95     TTFT P50  TTFT P95  TOKENS/S  CONFORMANCE\n"
        "mock/mock-large  7        0.50     500 ms  2.00 s  100 ms    –         42.5      1.00\n"
    )


def test_assessment_without_models_is_one_table(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("AssessProviders", quality_pb2.AssessProvidersResponse())

    aimanager("health", "--assess")

    assert aimanager.out == "PROVIDER  SAMPLES  OVERALL  AVAILABILITY  SPEED  ECONOMY  CONFORMANCE\n"


def test_json_lists_assessed_providers(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("AssessProviders", ASSESSMENT)

    aimanager("health", "--assess", "--json")

    assert [row["provider"] for row in json.loads(aimanager.out)] == ["mock", "other"]
