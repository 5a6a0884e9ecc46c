"""Resolving model names."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.errors import InvalidRequest, ModelNotFound, ProviderNotFound
from aimanager_server.core.request import Caller
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import LAB_SETTINGS, generate_params, make_resolver, resolve

KEY = {"api_key": "secret"}
OFF = {"enabled": False}


def resolved(name: str, resolver: Resolver | None = None, caller: Caller | None = None) -> str:
    model = (resolver or make_resolver()).resolve_model(name, caller)
    return f"{model.model.provider}/{model.id}"


@pytest.mark.parametrize(
    ("default", "name", "found"),
    [
        ("", "claude/claude-sonnet-5-5", "claude/claude-sonnet-5-5"),
        ("", "claude/current", "claude/claude-sonnet-5-5"),
        ("", "openai/fast", "openai/gpt-6-luna"),
        ("claude/current", "", "claude/claude-sonnet-5-5"),
        ("claude/current", "latest", "claude/claude-opus-5-5"),
        ("claude/current", "claude-fable-5-2", "claude/claude-fable-5-2"),
        ("deepseek-v4-pro", "fast", "deepseek/deepseek-flash"),
        ("deepseek-v4-pro", "", "deepseek/deepseek-v4-pro"),
        # A bare id that only one provider has resolves there, whatever the default.
        ("claude/current", "gpt-4o", "openai/gpt-4o"),
        ("", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini-2024-07-18"),
    ],
)
def test_name_resolves_to_one_model(default: str, name: str, found: str) -> None:
    assert resolved(name, make_resolver(default)) == found


def test_name_is_split_at_the_first_slash_after_a_provider() -> None:
    resolver = make_resolver(groq={**LAB_SETTINGS, "models": ["openai/gpt-oss-120b"]})

    assert resolved("groq/openai/gpt-oss-120b", resolver) == "groq/openai/gpt-oss-120b"


def test_bare_id_may_contain_a_slash() -> None:
    resolver = make_resolver("groq/x", groq={**LAB_SETTINGS, "models": ["meta/llama"]})

    assert resolved("meta/llama", resolver) == "groq/meta/llama"


def test_provider_that_allows_any_model_accepts_any_name() -> None:
    resolver = make_resolver("lab/x", lab={**LAB_SETTINGS, "allow_any_model": True})

    assert resolved("lab/whatever", resolver) == "lab/whatever"
    assert resolved("gpt-4o", resolver) == "lab/gpt-4o"
    assert resolved("acme/whatever", resolver) == "lab/acme/whatever"


def test_retired_name_is_accepted_if_any_model_is_allowed() -> None:
    assert resolved("openai/gpt-4", make_resolver(openai={"allow_any_model": True})) == "openai/gpt-4"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, "mock/mock-large"),
        ({"deepseek": KEY}, "deepseek/deepseek-v4-pro"),
        ({"deepseek": KEY, "claude": KEY}, "claude/claude-opus-5-5"),
        ({"claude": {**KEY, "enabled": False}, "openai": KEY}, "openai/gpt-6.2-sol"),
        ({"lab": {**LAB_SETTINGS, **KEY, "models": ["llama", "qwen"]}}, "lab/llama"),
        ({"lab": {**LAB_SETTINGS, **KEY}}, "mock/mock-large"),
        ({"lab": {**LAB_SETTINGS, **KEY, "models": ["llama"]}, "openai": KEY}, "openai/gpt-6.2-sol"),
    ],
)
def test_default_is_the_first_provider_with_a_key(changed: dict[str, Any], found: str) -> None:
    assert resolved("", make_resolver(**changed)) == found


def test_bare_alias_resolves_at_the_first_provider_with_a_key() -> None:
    assert resolved("fast", make_resolver(openai=KEY)) == "openai/gpt-6-luna"
    assert resolved("fast", make_resolver("latest", openai=KEY)) == "openai/gpt-6-luna"


def test_key_of_the_caller_counts() -> None:
    assert resolved("", caller=Caller(provider_keys={"openai": "theirs"})) == "openai/gpt-6.2-sol"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"lab": {**LAB_SETTINGS, "api_key_env": "", "models": ["llama"]}}, "lab/llama"),
        ({"lab": {**LAB_SETTINGS, "api_key_env": "", "models": ["llama"]}, "openai": KEY}, "openai/gpt-6.2-sol"),
        ({"lab": {**LAB_SETTINGS, "api_key_env": "", "models": ["llama"]}, "gemini": KEY}, "gemini/gemini-4-argon"),
        ({"mock": OFF}, "claude/claude-opus-5-5"),
        ({"mock": OFF, "claude": OFF}, "openai/gpt-6.2-sol"),
    ],
)
def test_without_a_key_a_provider_that_needs_none_is_the_default(changed: dict[str, Any], found: str) -> None:
    """If there is none, the error of the first one names the key to set."""
    assert resolved("", make_resolver(**changed)) == found
    assert resolved("latest" if "lab/" not in found else "", make_resolver(**changed)) == found


def test_missing_name_is_rejected_without_a_default() -> None:
    with pytest.raises(InvalidRequest, match="must be set, since the server has no default model") as raised:
        resolved("", make_resolver(mock=OFF, claude=OFF, openai=OFF, deepseek=OFF))

    assert raised.value.violations[0].field == "model"


def test_unknown_provider_has_similar_names() -> None:
    with pytest.raises(ProviderNotFound, match="Provider 'cluade' not found") as raised:
        resolved("cluade/latest")

    assert raised.value.metadata == {"nearest": "claude"}


def test_unknown_provider_without_similar_names_lists_the_configured() -> None:
    with pytest.raises(ProviderNotFound) as raised:
        resolved("zzz/latest")

    assert raised.value.metadata == {}
    assert "mock, claude, openai, deepseek" in raised.value.message


def test_a_known_provider_that_is_not_configured_can_be() -> None:
    with pytest.raises(ProviderNotFound, match=r"add \[providers.groq\] to the config file or set GROQ_API_KEY\."):
        resolved("groq/llama")
    with pytest.raises(ProviderNotFound, match=r"add \[providers.ollama\] to the config file\."):
        resolved("ollama/llama")


def test_disabled_provider_is_not_found() -> None:
    with pytest.raises(ProviderNotFound, match="'openai' is disabled"):
        resolved("openai/latest", make_resolver(openai={"enabled": False}))


def test_model_of_a_disabled_provider_is_neither_found_nor_suggested() -> None:
    with pytest.raises(ModelNotFound) as raised:
        resolved("gpt-4o", make_resolver(openai={"enabled": False}))

    assert "openai" not in raised.value.metadata.get("nearest", "")


def test_misspelled_model_has_similar_names() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean claude/claude-opus-5-5") as raised:
        resolved("claude/claude-opus-5.5")

    assert raised.value.metadata["nearest"].startswith("claude/claude-opus-5-5")
    assert (raised.value.provider, raised.value.model) == ("claude", "claude-opus-5.5")


def test_unknown_bare_name_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="Model 'zzzz' not found") as raised:
        resolved("zzzz")

    assert raised.value.metadata == {}


def test_empty_model_of_a_provider_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="Model '' not found at provider 'claude'"):
        resolved("claude/", make_resolver(claude={"allow_any_model": True}))


def test_ambiguous_id_is_rejected_with_all_providers() -> None:
    resolver = make_resolver(one={**LAB_SETTINGS, "models": ["llama"]}, two={**LAB_SETTINGS, "models": ["llama"]})

    with pytest.raises(ModelNotFound, match="one/llama, two/llama") as raised:
        resolved("llama", resolver)

    assert raised.value.solution == "Add the provider, such as 'one/llama'."


@pytest.mark.parametrize("name", ["openai/gpt-4", "gpt-4"])
def test_retired_model_has_date_and_replacement(name: str) -> None:
    with pytest.raises(ModelNotFound, match="Model 'openai/gpt-4' was retired on 2026-10-23") as raised:
        resolved(name)

    assert raised.value.metadata == {"replacement": "openai/gpt-6.1-sol", "retired": "2026-10-23"}
    assert "'openai/gpt-6.1-sol'" in raised.value.solution


def test_retired_model_without_a_date_has_a_replacement() -> None:
    with pytest.raises(ModelNotFound, match=r"'claude/claude-opus-4-1' was retired\. Use") as raised:
        resolved("claude/claude-opus-4-1")

    assert raised.value.metadata == {"replacement": "claude/claude-opus-5-5"}


def test_long_name_is_rejected_with_a_short_message() -> None:
    with pytest.raises(InvalidRequest, match="must have at most 256 characters, got 1000000") as raised:
        resolve(generate_params("x" * 1_000_000))

    assert len(raised.value.message) < 200


def test_long_name_is_shortened_in_the_message() -> None:
    with pytest.raises(ModelNotFound) as raised:
        resolved("claude/" + "x" * 200)

    assert "x" * 65 not in raised.value.message
