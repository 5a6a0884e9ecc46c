"""What a model name means."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.config.settings import Limits
from aimanager_server.core.errors import InvalidRequest, ModelNotFound, ProviderNotFound
from aimanager_server.core.request import Caller
from aimanager_server.routing.resolver import Resolver
from tests.support.resolver import CATALOGUE, LAB, ask, providers, resolve, resolver

KEY = {"api_key": "secret"}


def named(name: str, by: Resolver | None = None, caller: Caller | None = None) -> str:
    chosen = (by or resolver()).model(name, caller)
    return f"{chosen.model.provider}/{chosen.id}"


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
        # A bare id that one provider lists is found there, whatever the default.
        ("claude/current", "gpt-4o", "openai/gpt-4o"),
        ("", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini-2024-07-18"),
    ],
)
def test_a_name_leads_to_one_model(default: str, name: str, found: str) -> None:
    assert named(name, resolver(default)) == found


def test_only_the_first_slash_splits_and_only_after_a_provider() -> None:
    by = resolver(groq={**LAB, "models": ["openai/gpt-oss-120b"]})

    assert named("groq/openai/gpt-oss-120b", by) == "groq/openai/gpt-oss-120b"


def test_a_bare_id_may_hold_a_slash() -> None:
    by = resolver("groq/x", groq={**LAB, "models": ["meta/llama"]})

    assert named("meta/llama", by) == "groq/meta/llama"


def test_a_provider_open_to_any_model_takes_any_name() -> None:
    by = resolver("lab/x", lab={**LAB, "allow_any_model": True})

    assert named("lab/whatever", by) == "lab/whatever"
    assert named("gpt-4o", by) == "lab/gpt-4o"
    assert named("acme/whatever", by) == "lab/acme/whatever"


def test_a_retired_name_passes_where_any_does() -> None:
    assert named("openai/gpt-4", resolver(openai={"allow_any_model": True})) == "openai/gpt-4"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, "mock/mock-large"),
        ({"deepseek": KEY}, "deepseek/deepseek-v4-pro"),
        ({"deepseek": KEY, "claude": KEY}, "claude/claude-opus-5-5"),
        ({"claude": {**KEY, "enabled": False}, "openai": KEY}, "openai/gpt-6.2-sol"),
        ({"lab": {**LAB, **KEY, "models": ["llama", "qwen"]}}, "lab/llama"),
        ({"lab": {**LAB, **KEY}}, "mock/mock-large"),
        ({"lab": {**LAB, **KEY, "models": ["llama"]}, "openai": KEY}, "openai/gpt-6.2-sol"),
    ],
)
def test_without_any_name_the_first_provider_with_a_key_answers(changed: dict[str, Any], found: str) -> None:
    assert named("", resolver(**changed)) == found


def test_a_bare_alias_belongs_to_the_first_provider_with_a_key() -> None:
    assert named("fast", resolver(openai=KEY)) == "openai/gpt-6-luna"
    assert named("fast", resolver("latest", openai=KEY)) == "openai/gpt-6-luna"


def test_the_callers_own_key_counts() -> None:
    assert named("", caller=Caller(provider_keys={"openai": "theirs"})) == "openai/gpt-6.2-sol"


def test_who_has_a_key_can_be_told() -> None:
    by = Resolver(CATALOGUE, providers(), Limits(), "", lambda provider: provider == "deepseek")

    assert named("", by) == "deepseek/deepseek-v4-pro"


def test_with_nothing_left_a_name_is_asked_for() -> None:
    with pytest.raises(InvalidRequest, match="has no default") as refused:
        named("", resolver(mock={"enabled": False}))

    assert refused.value.violations[0].field == "model"


def test_an_unknown_provider_is_told_apart_from_an_unknown_model() -> None:
    with pytest.raises(ProviderNotFound, match="There is no provider 'cluade'") as refused:
        named("cluade/latest")

    assert refused.value.metadata == {"nearest": "claude"}


def test_a_provider_like_no_other_has_no_nearest() -> None:
    with pytest.raises(ProviderNotFound) as refused:
        named("zzz/latest")

    assert refused.value.metadata == {}
    assert "mock, claude, openai, deepseek" in refused.value.message


def test_a_disabled_provider_is_unknown() -> None:
    with pytest.raises(ProviderNotFound, match="'openai' is disabled"):
        named("openai/latest", resolver(openai={"enabled": False}))


def test_a_bare_id_of_a_disabled_provider_is_not_found_nor_proposed() -> None:
    with pytest.raises(ModelNotFound) as refused:
        named("gpt-4o", resolver(openai={"enabled": False}))

    assert "openai" not in refused.value.metadata.get("nearest", "")


def test_a_typing_error_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelNotFound, match="Did you mean claude/claude-opus-5-5") as refused:
        named("claude/claude-opus-5.5")

    assert refused.value.metadata["nearest"].startswith("claude/claude-opus-5-5")
    assert (refused.value.provider, refused.value.model) == ("claude", "claude-opus-5.5")


def test_a_bare_name_nobody_has_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="There is no model 'zzzz' at any provider here") as refused:
        named("zzzz")

    assert refused.value.metadata == {}


def test_an_empty_model_of_a_provider_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match="no model ''"):
        named("claude/", resolver(claude={"allow_any_model": True}))


def test_an_id_that_several_have_needs_its_provider() -> None:
    by = resolver(one={**LAB, "models": ["llama"]}, two={**LAB, "models": ["llama"]})

    with pytest.raises(ModelNotFound, match="one/llama, two/llama") as refused:
        named("llama", by)

    assert refused.value.solution == "Name the provider too."


@pytest.mark.parametrize("name", ["openai/gpt-4", "gpt-4"])
def test_a_retired_model_names_its_replacement_and_its_end(name: str) -> None:
    with pytest.raises(ModelNotFound, match="retired the model 'gpt-4' on 2026-10-23") as refused:
        named(name)

    assert refused.value.metadata == {"replacement": "openai/gpt-6.1-sol", "retired": "2026-10-23"}
    assert "'openai/gpt-6.1-sol'" in refused.value.solution


def test_a_retired_model_without_a_date_has_a_replacement_all_the_same() -> None:
    with pytest.raises(ModelNotFound, match="retired the model 'claude-opus-4-1'; use") as refused:
        named("claude/claude-opus-4-1")

    assert refused.value.metadata == {"replacement": "claude/claude-opus-5-5"}


def test_a_name_of_any_length_is_answered_at_once() -> None:
    with pytest.raises(InvalidRequest, match="has 1000000 characters") as refused:
        resolve(ask("x" * 1_000_000))

    assert len(refused.value.message) < 200


def test_a_long_name_is_shown_in_part() -> None:
    with pytest.raises(ModelNotFound) as refused:
        named("claude/" + "x" * 200)

    assert "x" * 65 not in refused.value.message
