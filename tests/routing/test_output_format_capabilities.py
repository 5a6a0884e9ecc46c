"""Structured output requirements of a request, for each level of support."""

from __future__ import annotations

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.model import Capability, Model, Support, SupportLevel
from aimanager_server.core.content import JsonObjectFormat, JsonSchemaFormat, OutputFormat
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import capability_error, generate_params, resolve, resolver_over, violated_fields

SCHEMA = JsonSchemaFormat("answer", "{}")
STRICT = JsonSchemaFormat("answer", "{}", strict=True)


def resolver_with_level(level: SupportLevel | None) -> Resolver:
    facts = {} if level is None else {Capability.STRUCTURED_OUTPUT: Support(level)}
    return resolver_over(Catalog([Model("mock", "m", capabilities=facts)]))


@pytest.mark.parametrize("level", [SupportLevel.NATIVE, SupportLevel.EMULATED, None])
@pytest.mark.parametrize("output_format", [JsonObjectFormat(), SCHEMA])
def test_output_format_is_accepted_unless_known_to_be_unsupported(
    level: SupportLevel | None, output_format: OutputFormat
) -> None:
    call = resolve(generate_params("mock/m", output_format=output_format), resolver_with_level(level))

    assert call.output_format == output_format
    assert call.target.emulates_format is (level is SupportLevel.EMULATED)


@pytest.mark.parametrize("output_format", [JsonObjectFormat(), SCHEMA])
def test_output_format_is_rejected_by_models_without_structured_output(output_format: OutputFormat) -> None:
    assert violated_fields(
        capability_error(generate_params("mock/m", output_format=output_format), resolver_with_level(SupportLevel.NONE))
    ) == ["output_format"]


@pytest.mark.parametrize("level", [SupportLevel.NATIVE, None])
def test_strict_schema_is_accepted_by_native_and_unknown_models(level: SupportLevel | None) -> None:
    assert resolve(generate_params("mock/m", output_format=STRICT), resolver_with_level(level)).output_format == STRICT


def test_strict_schema_is_rejected_by_models_with_emulated_structured_output() -> None:
    error = capability_error(
        generate_params("mock/m", output_format=STRICT), resolver_with_level(SupportLevel.EMULATED)
    )

    assert violated_fields(error) == ["output_format.json_schema.strict"]


def test_models_with_native_structured_output_are_suggested() -> None:
    error = capability_error(generate_params("deepseek/deepseek-flash", output_format=STRICT))

    assert "openai/" in error.metadata["models"] or "claude/" in error.metadata["models"]
