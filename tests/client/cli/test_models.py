"""`aimanager models`: table, JSON and filters."""

from __future__ import annotations

import json

import grpc

from aimanager.v1 import health_pb2, model_pb2
from tests.support.console import CommandRunner, Terminal
from tests.support.fake_gateway.catalog import DOWN, ROUTED, SMALL
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway


def test_models_are_a_table(populated: FakeGateway) -> None:
    command = CommandRunner(populated, stderr=Terminal())

    code = command("models", "--provider", "mock")

    assert code == 0
    assert command.out == (
        "MODEL            ALIASES  CONTEXT  MAX OUTPUT  INPUT PRICE  OUTPUT PRICE  AVAILABLE  STREAM  IMAGE  PDF  "
        "TOOLS  PARALLEL  SCHEMA  REASON  CACHE  IMAGE OUT\n"
        "mock/mock-large  latest   200k     8k          $2.5         $10           yes        x       -      ?    "
        "?      ?         ~       ?       ?      ?\n"
        "mock/mock-small  -        ?        ?           ?            ?             no         ?       ?      ?    "
        "?      ?         ?       ?       ?      ?\n"
    )
    assert command.err.startswith("x native")
    assert populated.received[0].request.provider == "mock"


def test_routes_column_appears_if_a_model_has_routes(aimanager: CommandRunner) -> None:
    aimanager.fake.respond("ListModels", model_pb2.ListModelsResponse(models=[ROUTED, SMALL]))

    aimanager("models")

    columns = [line.split()[:4] for line in aimanager.out.splitlines()]
    assert columns == [
        ["MODEL", "ALIASES", "ROUTES", "CONTEXT"],
        ["mock/mock-routed", "-", "cheap,smart", "?"],
        ["mock/mock-small", "-", "-", "?"],
    ]


def test_json_lists_models(populated: FakeGateway) -> None:
    command = CommandRunner(populated)

    assert command("models", "--json") == 0

    assert [row["id"] for row in json.loads(command.out)] == ["mock/mock-large", "mock/mock-small"]


def test_legend_is_printed_to_a_terminal_only(populated: FakeGateway) -> None:
    command = CommandRunner(populated)

    command("models")

    assert command.err == ""


def test_filters_are_sent(populated: FakeGateway) -> None:
    command = CommandRunner(populated)

    code = command("models", "--refresh", "--available", "--capability", "reasoning", "--provider", "mock", "--json")

    request = populated.received[0].request
    assert code == 0
    assert (request.refresh, request.available_only, request.provider) == (True, True, "mock")
    assert list(request.capabilities) == [model_pb2.CAPABILITY_REASONING]
    assert command.err == ""


def test_only_lists_that_could_not_be_fetched_are_reported(populated: FakeGateway) -> None:
    degraded = health_pb2.ProviderHealth(provider="busy", status=health_pb2.PROVIDER_STATUS_DEGRADED)
    keyless = health_pb2.ProviderHealth(provider="keyless", status=health_pb2.PROVIDER_STATUS_NOT_CONFIGURED)
    populated.respond("ListProviderHealth", health_pb2.ListProviderHealthResponse(providers=[degraded, DOWN, keyless]))
    listed = model_pb2.ListModelsResponse()
    populated.respond("ListModels", listed, listed, error_status(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNREACHABLE"))
    command = CommandRunner(populated)

    code = command("models", "--refresh", "--json")

    refreshed = [call.request.provider for call in populated.received if call.method.endswith("ListModels")]
    assert (code, refreshed) == (0, ["", "busy", "mock"])
    assert command.err == "models of mock may be incomplete: The call failed. Try another way.\n"
