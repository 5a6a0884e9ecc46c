"""Native options: which fields are restricted, in which spelling, and what the operator can allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.loader import load
from aimanager_server.config.restricted_options import RESTRICTED_OPTIONS, canonical_name
from aimanager_server.core.content import JsonSchemaFormat, Sampling, ToolChoice, ToolMode
from aimanager_server.validation.native_options import NativeOptionsRules
from tests.support import anthropic, chat_completions, gemini, responses
from tests.support.resolver import WEATHER, provider_settings

SAMPLING = Sampling(100, 0.5, 0.5, 5, 7, ("END",))
EVERYTHING: dict[str, Any] = {
    "system_instruction": "Be brief.",
    "tools": (WEATHER,),
    "tool_choice": ToolChoice(ToolMode.REQUIRED, parallel=True),
    "sampling": SAMPLING,
}
CALLERS_CHOICE = {
    "anthropic": {"stop_sequences", "temperature", "thinking", "top_k", "top_p", "output_config"},
    "chat_completions": {"parallel_tool_calls", "seed", "stop", "temperature", "top_p", "response_format"},
    "responses": {"include", "parallel_tool_calls", "reasoning", "temperature", "text", "top_p"},
    "gemini": {"generationConfig"},
}
"""Fields that the wires send and a caller may replace: they only change the text of the answer."""


def rejected(wire: str, options: Mapping[str, Any], *allowed: str) -> list[str]:
    settings = provider_settings("lab", wire=wire, base_url="http://127.0.0.1:1", allowed_options=list(allowed))
    rules = NativeOptionsRules({"lab": settings}, RESTRICTED_OPTIONS, max_json_depth=64)
    return [violation.field for violation in rules.violations({"lab": options})]


def sent_fields() -> Mapping[str, set[str]]:
    """The fields that each wire sends if a request sets everything."""
    schema = JsonSchemaFormat("city", '{"properties": {"a": {"type": "string"}}, "required": ["a"]}')
    chat = chat_completions.make_attempt(streaming=True, output_format=schema, **EVERYTHING)
    return {
        "anthropic": set(anthropic.sent_body(anthropic.make_attempt(streaming=True, **EVERYTHING))),
        "chat_completions": set(chat_completions.sent_body(chat, "openai")),
        "responses": set(responses.sent_body(responses.make_attempt(streaming=True, **EVERYTHING))),
        "gemini": set(gemini.sent_body(gemini.make_attempt(**EVERYTHING))),
    }


@pytest.mark.parametrize("wire", CALLERS_CHOICE)
def test_every_field_that_a_wire_sends_is_restricted_or_left_to_the_caller(wire: str) -> None:
    restricted = set(map(canonical_name, RESTRICTED_OPTIONS[wire]))
    sent = sent_fields()[wire] - CALLERS_CHOICE[wire]

    assert {name for name in sent if canonical_name(name) not in restricted} == set()


def test_a_field_is_restricted_in_every_spelling_that_a_server_may_accept() -> None:
    spellings = ("model", "MODEL", "mo_del", "max_tokens", "maxTokens", "\u017fervice_tier")

    assert [rejected("chat_completions", {name: 1}) for name in spellings] == [
        [f'provider_options_json["lab"].{name}'] for name in spellings
    ]


def test_other_fields_are_not_restricted() -> None:
    options = {"metadata": {"model": "x"}, "logprobs": True, "reasoning_effort": "low", "prompt_cache_options": {}}

    assert rejected("chat_completions", options) == []
    assert rejected("mock", {"script": "Hi", "model": "x"}) == []


def test_an_allowed_field_leaves_its_neighbors_restricted() -> None:
    options = {"generationConfig": {"candidateCount": 2, "maxOutputTokens": 9}, "cachedContent": "c"}

    found = rejected("gemini", options, "generation_config.candidate_count", "cachedContent")

    assert found == ['provider_options_json["lab"].generationConfig.maxOutputTokens']


def test_an_allowed_option_must_be_a_restricted_one() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"providers": {"claude": {"allowed_options": ["speed", "modle"]}}}, None, {})

    assert "providers.claude.allowed_options[1]" in str(caught.value)
    assert "is not a restricted field; those of this wire are: container," in str(caught.value)
