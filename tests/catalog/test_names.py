"""What names mean: aliases, models that are gone, and typing errors."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest

from aimanager_server.catalog.catalog import FILE, Catalogue, Retired
from aimanager_server.catalog.loader import rows_of
from aimanager_server.core.content import Effort

CATALOGUE = Catalogue.load()
RETIRED = rows_of(tomllib.loads(FILE.read_text("utf-8"))).retired


@pytest.mark.parametrize("provider", ["claude", "openai", "deepseek", "gemini", "mock"])
def test_every_provider_has_the_four_aliases_and_they_lead_somewhere(provider: str) -> None:
    aliases = CATALOGUE.aliases(provider)

    assert [alias.name for alias in aliases] == ["latest", "current", "fast", "reasoning"]
    assert all(CATALOGUE.find(provider, alias.model) for alias in aliases)
    assert all(alias.meaning and alias.since >= date(2026, 11, 22) for alias in aliases)


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
    ],
)
def test_an_alias_is_a_model_and_an_effort(provider: str, name: str, model: str, effort: Effort | None) -> None:
    alias = CATALOGUE.alias(provider, name)

    assert alias is not None
    assert (alias.model, alias.reasoning.effort) == (model, effort)


def test_a_model_knows_what_means_it() -> None:
    opus = CATALOGUE.find("claude", "claude-opus-5-5")

    assert opus is not None
    assert opus.aliases == ("latest", "reasoning")


@pytest.mark.parametrize(
    ("provider", "gone", "on"),
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
def test_a_retired_model_has_a_date_where_one_is_known(provider: str, gone: str, on: date | None) -> None:
    retired = CATALOGUE.retired(provider, gone)

    assert retired is not None
    assert retired.on == on


def test_every_replacement_is_in_service() -> None:
    for retired in RETIRED:
        assert CATALOGUE.find(retired.provider, retired.replacement), retired


def test_a_retired_model_is_found_without_its_provider() -> None:
    gone = CATALOGUE.retired("", "gpt-4")

    assert isinstance(gone, Retired)
    assert gone.provider == "openai"
    assert CATALOGUE.retired("", "gpt-9") is None


def test_typing_errors_lead_to_the_nearest_names() -> None:
    assert CATALOGUE.nearest("claude", "claude-opus-5.5")[0] == "claude/claude-opus-5-5"
    assert CATALOGUE.nearest("openai", "lattest") == ("openai/latest",)
    assert CATALOGUE.nearest("", "zzzz") == ()
