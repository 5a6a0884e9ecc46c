"""What a provider is asked for when an answer has to have a shape, as the vendors' own types see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_create_params as claude_types
from openai.types.chat import completion_create_params as openai_types

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.config.settings import Limits
from aimanager_server.core.content import Effort, JsonObjectFormat, JsonSchemaFormat, OutputFormat, ReasoningOptions
from aimanager_server.core.errors import CapabilityUnsupported
from aimanager_server.core.request import Target
from aimanager_server.providers.wires.anthropic import Claude
from aimanager_server.providers.wires.chat_completions import ChatCompletions, Quirks
from aimanager_server.providers.wires.chat_completions.deepseek import deepseek
from aimanager_server.providers.wires.chat_completions.vendors import openai
from tests.support.calls import call
from tests.support.vendor_sdks import seen_by

OPEN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED = {**OPEN, "additionalProperties": False}
CITY = JsonSchemaFormat("city", json.dumps(OPEN))
ANYTHING = JsonSchemaFormat("anything", '{"type": "object"}', strict=True)

CATALOGUE = Catalogue.load()
SETTINGS = ProviderSettings(wire="chat_completions", base_url="https://example.com/v1")


def body(dialect: Any, target: Target, wanted: OutputFormat) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(dialect.encode(call(targets=(target,), output_format=wanted), "key").body)
    return sent


def claude(wanted: OutputFormat, reasoning: ReasoningOptions = ReasoningOptions()) -> dict[str, Any]:
    settings = ProviderSettings(wire="claude", base_url="https://example.com")
    dialect = Claude(settings, Limits(), lambda model: CATALOGUE.find("claude", model))
    return body(dialect, Target("claude", "claude-opus-5-5", reasoning=reasoning), wanted)


def chat(wanted: OutputFormat, schemas: Any) -> dict[str, Any]:
    dialect = ChatCompletions(SETTINGS, Limits(), lambda model: Quirks(schemas=schemas))
    return body(dialect, Target("any", "model"), wanted)


def test_claude_gets_a_closed_schema() -> None:
    sent = claude(CITY)

    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    assert seen_by(claude_types.MessageCreateParamsNonStreaming, sent) == sent


def test_claude_gets_the_schema_beside_the_effort() -> None:
    sent = claude(CITY, ReasoningOptions(effort=Effort.HIGH))

    assert sent["output_config"]["effort"] == "high"
    assert sent["output_config"]["format"]["schema"] == CLOSED


@pytest.mark.parametrize("wanted", [JsonObjectFormat(), ANYTHING])
def test_claude_cannot_be_asked_for_json_of_any_kind(wanted: OutputFormat) -> None:
    with pytest.raises(CapabilityUnsupported) as raised:
        claude(wanted)

    assert raised.value.violations[0].field.startswith("output_format")


def test_openai_gets_a_strict_schema() -> None:
    sent = body(openai(SETTINGS, Limits()), Target("openai", "gpt-4o"), CITY)

    described = {"name": "city", "schema": CLOSED, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": described}
    assert seen_by(openai_types.CompletionCreateParamsNonStreaming, sent) == sent


def test_openai_gets_json_mode() -> None:
    sent = body(openai(SETTINGS, Limits()), Target("openai", "gpt-4o"), JsonObjectFormat())

    assert sent["response_format"] == {"type": "json_object"}


def test_a_schema_that_openai_cannot_promise_is_refused_before_it_is_sent() -> None:
    with pytest.raises(CapabilityUnsupported):
        body(openai(SETTINGS, Limits()), Target("openai", "gpt-4o"), ANYTHING)


def test_deepseek_gets_json_mode_and_no_schema() -> None:
    target = Target("deepseek", "deepseek-flash")

    assert body(deepseek(SETTINGS, Limits()), target, JsonObjectFormat())["response_format"] == {"type": "json_object"}
    with pytest.raises(CapabilityUnsupported):
        body(deepseek(SETTINGS, Limits()), target, CITY)


def test_a_server_with_schemas_gets_them_as_they_are() -> None:
    described = {"name": "city", "schema": OPEN, "strict": False}

    assert chat(CITY, "plain")["response_format"]["json_schema"] == described


@pytest.mark.parametrize("wanted", [JsonObjectFormat(), CITY])
def test_an_unknown_server_is_not_asked_natively(wanted: OutputFormat) -> None:
    with pytest.raises(CapabilityUnsupported):
        chat(wanted, "none")
