"""Output formats in requests, compared with the types of the SDKs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_create_params as anthropic_types
from openai.types.chat import completion_create_params as openai_types

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, JsonObjectFormat, JsonSchemaFormat, OutputFormat, ReasoningOptions
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.core.request import Target
from aimanager_server.providers.wires.anthropic import AnthropicWire
from aimanager_server.providers.wires.chat_completions import ChatCompletionsWire
from aimanager_server.providers.wires.chat_completions.quirks import Quirks
from aimanager_server.providers.wires.chat_completions.vendors import vendor_wire
from tests.support.calls import make_attempt, make_call
from tests.support.vendor_sdks import validated_by

OPEN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**OPEN, "additionalProperties": False}
CITY = JsonSchemaFormat("city", json.dumps(OPEN))
ANYTHING = JsonSchemaFormat("anything", '{"type": "object"}', strict=True)

CATALOG = Catalog.load()
SETTINGS = ProviderSettings(wire="chat_completions", base_url="https://example.com/v1")


def body(wire: Any, target: Target, output_format: OutputFormat) -> dict[str, Any]:
    attempt = make_attempt(make_call(targets=(target,), output_format=output_format))
    sent: dict[str, Any] = json.loads(wire.encode(attempt, "key").body)
    return sent


def claude(output_format: OutputFormat, reasoning: ReasoningOptions = ReasoningOptions()) -> dict[str, Any]:
    settings = ProviderSettings(wire="anthropic", base_url="https://example.com")
    wire = AnthropicWire(settings, Limits(), lambda model: CATALOG.find("claude", model))
    return body(wire, Target("claude", "claude-opus-5-5", reasoning=reasoning), output_format)


def chat(output_format: OutputFormat, schema_support: Any) -> dict[str, Any]:
    wire = ChatCompletionsWire(SETTINGS, Limits(), lambda model: Quirks(schema_support=schema_support))
    return body(wire, Target("any", "model"), output_format)


def test_anthropic_gets_a_closed_schema() -> None:
    sent = claude(CITY)

    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    assert validated_by(anthropic_types.MessageCreateParamsNonStreaming, sent) == sent


def test_anthropic_gets_schema_and_effort() -> None:
    sent = claude(CITY, ReasoningOptions(effort=Effort.HIGH))

    assert sent["output_config"]["effort"] == "high"
    assert sent["output_config"]["format"]["schema"] == CLOSED


@pytest.mark.parametrize("output_format", [JsonObjectFormat(), ANYTHING])
def test_anthropic_rejects_json_without_a_schema(output_format: OutputFormat) -> None:
    with pytest.raises(CapabilityUnsupported) as raised:
        claude(output_format)

    assert raised.value.violations[0].field.startswith("output_format")


def test_openai_gets_a_strict_schema() -> None:
    sent = body(vendor_wire("openai", SETTINGS, Limits(), lambda model: None), Target("openai", "gpt-4o"), CITY)

    json_schema = {"name": "city", "schema": CLOSED, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": json_schema}
    assert validated_by(openai_types.CompletionCreateParamsNonStreaming, sent) == sent


def test_openai_gets_json_mode() -> None:
    sent = body(
        vendor_wire("openai", SETTINGS, Limits(), lambda model: None), Target("openai", "gpt-4o"), JsonObjectFormat()
    )

    assert sent["response_format"] == {"type": "json_object"}


def test_openai_rejects_an_unsupported_schema() -> None:
    with pytest.raises(CapabilityUnsupported):
        body(vendor_wire("openai", SETTINGS, Limits(), lambda model: None), Target("openai", "gpt-4o"), ANYTHING)


def test_deepseek_gets_json_mode_without_schemas() -> None:
    target = Target("deepseek", "deepseek-flash")

    assert body(vendor_wire("deepseek", SETTINGS, Limits(), lambda model: None), target, JsonObjectFormat())[
        "response_format"
    ] == {"type": "json_object"}
    with pytest.raises(CapabilityUnsupported):
        body(vendor_wire("deepseek", SETTINGS, Limits(), lambda model: None), target, CITY)


def test_plain_schema_support_sends_the_schema_unchanged() -> None:
    json_schema = {"name": "city", "schema": OPEN, "strict": False}

    assert chat(CITY, "plain")["response_format"]["json_schema"] == json_schema


@pytest.mark.parametrize("output_format", [JsonObjectFormat(), CITY])
def test_unknown_server_rejects_native_formats(output_format: OutputFormat) -> None:
    with pytest.raises(CapabilityUnsupported):
        chat(output_format, "none")
