"""`aimanager models`: table, JSON and filters."""

from __future__ import annotations

import json

import grpc

from aimanager import Model
from aimanager.cli.models_table import ALIAS_MEANINGS, LEGEND, models_table
from aimanager.v1 import health_pb2, model_pb2
from aimanager_server.catalog.catalog import Catalog
from tests.support.console import CommandRunner, Terminal
from tests.support.fake_gateway.catalog import DOWN, ROUTED, SMALL
from tests.support.fake_gateway.messages import error_status
from tests.support.fake_gateway.server import FakeGateway

WIDTH = 80


def test_models_are_a_table(populated: FakeGateway) -> None:
    command = CommandRunner(populated)

    code = command("models", "--provider", "mock")

    assert (code, command.err) == (0, "")
    assert command.out == (
        "MODEL            ALSO CALLED  CONTEXT  INPUT  OUTPUT  CAN\n"
        "mock/mock-large  latest       200k     $2.5   $10     S.––j–––\n"
        "\n"
        "Not callable now: no API key, or the provider is failing (aimanager health)\n"
        "mock/mock-small               –        –      –       ––––––––\n"
    )
    assert populated.received[0].request.provider == "mock"


def test_long_names_continue_on_further_lines_within_80_columns(aimanager: CommandRunner) -> None:
    wordy = model_pb2.Model(
        id="provider/" + "a-very-long-model-name" * 3, aliases=["latest", "reasoning"], available=True
    )
    unwordy = model_pb2.Model(id="x" * 70, available=True)
    aimanager.fake.respond("ListModels", model_pb2.ListModelsResponse(models=[SMALL, ROUTED, wordy, unwordy]))

    aimanager("models")

    lines = aimanager.out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    first = "".join(line.split()[0] for line in lines[1:5])
    assert first.startswith("provider/a-very-long-model-name")
    assert "latest," in aimanager.out
    assert "@cheap," in aimanager.out
    assert (
        aimanager.out.index(wordy.id[:20])
        < aimanager.out.index("Not callable now")
        < aimanager.out.index("mock/mock-s")
    )


def test_every_model_of_the_catalog_fits_80_columns() -> None:
    catalog = Catalog.load()
    models = [
        Model(model_pb2.Model(id=f"{one.provider}/{one.id}", aliases=one.aliases, available=True))
        for one in catalog.models()
    ]

    assert max(map(len, models_table(models).splitlines())) <= WIDTH
    assert max(map(len, LEGEND.splitlines())) <= WIDTH


def test_the_legend_explains_every_alias() -> None:
    assert ALIAS_MEANINGS.keys() == {alias.name for alias in Catalog.load().aliases()}


def test_the_legend_is_shown_on_a_terminal(populated: FakeGateway) -> None:
    command = CommandRunner(populated, stdout=Terminal())

    command("models")

    assert command.out.endswith(f"\n\n{LEGEND}\n")


def test_json_lists_models(populated: FakeGateway) -> None:
    command = CommandRunner(populated)

    assert command("models", "--json") == 0

    assert [row["id"] for row in json.loads(command.out)] == ["mock/mock-large", "mock/mock-small"]


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
