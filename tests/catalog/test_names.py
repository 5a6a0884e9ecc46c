"""Aliases, retired models and similar names in the built-in catalog."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest

from aimanager_server.catalog.catalog import CATALOG_FILE, Catalog
from aimanager_server.catalog.loader import parse_catalog
from aimanager_server.catalog.model import RetiredModel
from aimanager_server.core.content import Effort

CATALOG = Catalog.load()
RETIRED = parse_catalog(tomllib.loads(CATALOG_FILE.read_text("utf-8"))).retired


PROVIDERS = sorted({model.provider for model in CATALOG.models() if model.embedding is None})


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_has_four_aliases_for_current_models(provider: str) -> None:
    aliases = CATALOG.aliases(provider)

    assert [alias.name for alias in aliases] == ["latest", "current", "fast", "reasoning"]
    assert all(CATALOG.find(provider, alias.model) for alias in aliases)
    assert all(alias.description and alias.since >= date(2026, 11, 22) for alias in aliases)


@pytest.mark.parametrize(
    ("provider", "name", "model", "effort"),
    [
        ("claude", "latest", "claude-opus-5-5", None),
        ("claude", "reasoning", "claude-opus-5-5", Effort.HIGH),
        ("openai", "fast", "gpt-6-luna", Effort.NONE),
        ("openai", "reasoning", "gpt-6.2-astra", Effort.HIGH),
        ("deepseek", "fast", "deepseek-flash", Effort.NONE),
        ("deepseek", "reasoning", "deepseek-v4-pro", Effort.MAX),
        ("gemini", "latest", "gemini-4-argon", None),
        ("gemini", "current", "gemini-3.8-flash", None),
        ("gemini", "fast", "gemini-3.5-flash-lite", Effort.MINIMAL),
        ("gemini", "reasoning", "gemini-4-argon", Effort.HIGH),
        ("mock", "latest", "mock-large", None),
        ("mistral", "latest", "mistral-large-4", None),
        ("mistral", "fast", "mistral-small-latest", Effort.NONE),
        ("xai", "latest", "grok-4.7", None),
        ("xai", "fast", "grok-4.20-non-reasoning", None),
        ("groq", "latest", "qwen/qwen3.8-27b", None),
        ("groq", "reasoning", "openai/gpt-oss-120b", Effort.HIGH),
    ],
)
def test_alias_has_a_model_and_an_effort(provider: str, name: str, model: str, effort: Effort | None) -> None:
    alias = CATALOG.alias(provider, name)

    assert alias is not None
    assert (alias.model, alias.reasoning.effort) == (model, effort)


def test_model_lists_its_aliases() -> None:
    opus = CATALOG.find("claude", "claude-opus-5-5")

    assert opus is not None
    assert opus.aliases == ("latest", "reasoning")


@pytest.mark.parametrize(
    ("provider", "model_id", "retired_on"),
    [
        ("claude", "claude-3-5-sonnet-20241022", date(2025, 10, 28)),
        ("claude", "claude-3-5-haiku-20241022", date(2026, 2, 19)),
        ("claude", "claude-opus-4-1", None),
        ("openai", "o1-preview", date(2025, 7, 28)),
        ("openai", "gpt-4", date(2026, 10, 23)),
        ("openai", "gpt-3.5-turbo", date(2026, 10, 23)),
        ("deepseek", "deepseek-chat", date(2026, 7, 24)),
        ("deepseek", "deepseek-reasoner", date(2026, 7, 24)),
    ],
)
def test_retired_model_has_its_published_date(provider: str, model_id: str, retired_on: date | None) -> None:
    retired = CATALOG.retired(provider, model_id)

    assert retired is not None
    assert retired.retired_on == retired_on


def test_every_replacement_is_a_current_model() -> None:
    broken = [retired for retired in RETIRED if CATALOG.find(retired.provider, retired.replacement) is None]

    assert broken == []


def test_retired_model_is_found_without_its_provider() -> None:
    retired = CATALOG.retired("", "gpt-4")

    assert isinstance(retired, RetiredModel)
    assert retired.provider == "openai"
    assert CATALOG.retired("", "gpt-9") is None


def test_misspelled_names_have_similar_names() -> None:
    assert CATALOG.similar_names("claude", "claude-opus-5.5")[0] == "claude/claude-opus-5-5"
    assert CATALOG.similar_names("openai", "lattest") == ("openai/latest",)
    assert CATALOG.similar_names("", "zzzz") == ()
