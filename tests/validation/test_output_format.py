"""What a question needs of a model that is to answer in a shape, on both sides of every level of support."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.catalog import Capability, Catalogue, Level, Model, Support
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat, OutputFormat
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import ask, fields, providers, refusal, resolve

SCHEMA = JsonSchemaFormat("answer", "{}")
STRICT = JsonSchemaFormat("answer", "{}", strict=True)


def with_level(level: Level | None) -> Resolver:
    facts = {} if level is None else {Capability.STRUCTURED_OUTPUT: Support(level)}
    return Resolver(Catalogue([Model("mock", "m", capabilities=facts)]), providers(), Limits())


@pytest.mark.parametrize("level", [Level.NATIVE, Level.EMULATED, None])
@pytest.mark.parametrize("wanted", [JsonObjectFormat(), SCHEMA])
def test_a_format_is_asked_of_a_model_that_is_not_known_to_lack_it(level: Level | None, wanted: OutputFormat) -> None:
    call = resolve(ask("mock/m", output_format=wanted), with_level(level))

    assert call.output_format == wanted
    assert call.target.emulates_format is (level is Level.EMULATED)


@pytest.mark.parametrize("wanted", [JsonObjectFormat(), SCHEMA])
def test_a_format_is_not_asked_of_a_model_that_has_none(wanted: OutputFormat) -> None:
    assert fields(refusal(ask("mock/m", output_format=wanted), with_level(Level.NONE))) == ["output_format"]


@pytest.mark.parametrize("level", [Level.NATIVE, None])
def test_a_promise_is_asked_of_a_model_that_is_not_known_to_give_none(level: Level | None) -> None:
    assert resolve(ask("mock/m", output_format=STRICT), with_level(level)).output_format == STRICT


def test_a_promise_is_not_asked_of_a_model_that_needs_the_gateway_for_it() -> None:
    fault = refusal(ask("mock/m", output_format=STRICT), with_level(Level.EMULATED))

    assert fields(fault) == ["output_format.json_schema.strict"]


def test_models_that_promise_schemas_are_named() -> None:
    fault = refusal(ask("deepseek/deepseek-flash", output_format=STRICT))

    assert "openai/" in fault.metadata["models"] or "claude/" in fault.metadata["models"]
