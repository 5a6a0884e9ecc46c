"""`aimanager models` and `aimanager health`: tables, JSON and exit codes."""

from __future__ import annotations

import json

import pytest

from aimanager.v1 import health_pb2, model_pb2
from tests.support.console import Command, Terminal
from tests.support.fake_gateway.catalog import ROUTED, SMALL, UP
from tests.support.fake_gateway.server import FakeGateway


def test_models_are_a_table(stocked: FakeGateway) -> None:
    command = Command(stocked, stderr=Terminal())

    code = command("models", "--provider", "mock")

    assert code == 0
    assert command.out == (
        "MODEL            ALIASES  CONTEXT  ANSWER  IN    OUT  READY  STREAM  IMAGE  PDF  TOOLS  PARALLEL  SCHEMA  "
        "REASON  CACHE  DRAW\n"
        "mock/mock-large  latest   200k     8k      $2.5  $10  yes    x       -      ?    ?      ?         ~       "
        "?       ?      ?\n"
        "mock/mock-small  -        ?        ?       ?     ?    no     ?       ?      ?    ?      ?         ?       "
        "?       ?      ?\n"
    )
    assert command.err.startswith("x by the model")
    assert stocked.received[0].request.provider == "mock"


def test_routes_are_a_column_where_there_are_any(aimanager: Command) -> None:
    aimanager.fake.will("ListModels", model_pb2.ListModelsResponse(models=[ROUTED, SMALL]))

    aimanager("models")

    columns = [line.split()[:4] for line in aimanager.out.splitlines()]
    assert columns == [
        ["MODEL", "ALIASES", "ROUTES", "CONTEXT"],
        ["mock/mock-routed", "-", "cheap,smart", "?"],
        ["mock/mock-small", "-", "-", "?"],
    ]


def test_models_are_json(stocked: FakeGateway) -> None:
    command = Command(stocked)

    assert command("models", "--json") == 0

    assert [row["id"] for row in json.loads(command.out)] == ["mock/mock-large", "mock/mock-small"]


def test_a_piped_table_has_no_legend(stocked: FakeGateway) -> None:
    command = Command(stocked)

    command("models")

    assert command.err == ""


def test_health_fails_where_a_provider_is_down(stocked: FakeGateway) -> None:
    command = Command(stocked)

    code = command("health", "--probe")

    assert code == 1
    assert command.out == (
        "PROVIDER  STATUS  CIRCUIT  P50     P95  ERRORS  LAST ERROR\n"
        "mock      DOWN    open     250 ms  -    50%     PROVIDER_ERROR\n"
        "mock: Wait.\n"
    )
    assert stocked.received[0].request.probe


def test_health_is_json(aimanager: Command) -> None:
    aimanager.fake.will("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=[UP]))

    assert aimanager("health", "--json") == 0

    assert json.loads(aimanager.out) == [{"provider": "mock", "status": "PROVIDER_STATUS_HEALTHY"}]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "mock  HEALTHY  -  -  -  0%  -\n"),
        (["--json"], '{"provider": "mock", "status": "PROVIDER_STATUS_HEALTHY"}\n'),
    ],
)
def test_watching_prints_changes(aimanager: Command, arguments: list[str], line: str) -> None:
    aimanager.fake.will("WatchProviderHealth", [health_pb2.WatchProviderHealthResponse(provider=UP)])

    assert aimanager("health", "--watch", *arguments) == 0
    assert aimanager.out == line
