"""Refreshing the catalog from the providers' own model lists."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.catalog.discovery import REFRESH_INTERVAL_SECONDS, ModelDiscovery
from aimanager_server.catalog.model import Model, Support, SupportLevel
from aimanager_server.core.errors import GatewayError, MissingCredentials, ProviderUnreachable
from aimanager_server.telemetry.logger import get_logger
from tests.support.clock import FakeClock

KNOWN = [Model("up", "known"), Model("down", "old")]


class FakeLister:
    def __init__(self, outcome: Sequence[Model] | GatewayError) -> None:
        self.outcome = outcome

    async def models(self) -> Sequence[Model]:
        if isinstance(self.outcome, GatewayError):
            raise self.outcome
        return self.outcome


class DiscoveryFixture:
    def __init__(self, **listers: FakeLister) -> None:
        self.catalog = Catalog(KNOWN)
        self.outcomes: list[tuple[str, str]] = []
        self.clock = FakeClock()
        self.discovery = ModelDiscovery(listers, self.catalog, self._record, self.clock, get_logger())

    def _record(self, provider: str, error: GatewayError | None) -> None:
        self.outcomes.append((provider, error.reason if error else ""))

    def ids(self, provider: str = "") -> list[str]:
        return [model.id for model in self.catalog.models(provider)]


async def test_listed_models_follow_those_of_the_catalog_and_do_not_replace_them() -> None:
    fixture = DiscoveryFixture(up=FakeLister([Model("up", "new", name="New"), Model("up", "known", name="Other")]))

    await fixture.discovery()

    assert fixture.ids("up") == ["known", "new"]
    assert fixture.catalog.find("up", "new") == Model("up", "new", name="New")
    assert fixture.catalog.find("up", "known") == Model("up", "known")
    assert fixture.ids() == ["old", "known", "new"]
    assert fixture.outcomes == [("up", "")]


async def test_second_list_replaces_the_first() -> None:
    lister = FakeLister([Model("up", "new")])
    fixture = DiscoveryFixture(up=lister)
    await fixture.discovery("up")

    lister.outcome = [Model("up", "newer")]
    fixture.clock.advance(REFRESH_INTERVAL_SECONDS)
    await fixture.discovery("up")

    assert fixture.ids("up") == ["known", "newer"]
    assert fixture.catalog.find("up", "new") is None


async def test_refreshes_share_one_request_per_interval_and_its_error() -> None:
    lister = FakeLister(ProviderUnreachable("no"))
    fixture = DiscoveryFixture(down=lister)

    outcomes = await asyncio.gather(*(fixture.discovery("down") for _ in range(50)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {ProviderUnreachable}
    assert fixture.outcomes == [("down", "PROVIDER_UNREACHABLE")]


async def test_failed_provider_keeps_its_models_and_is_recorded() -> None:
    fixture = DiscoveryFixture(
        up=FakeLister([Model("up", "new")]),
        down=FakeLister(ProviderUnreachable("no")),
        keyless=FakeLister(MissingCredentials("no")),
    )

    await fixture.discovery()

    assert fixture.ids() == ["old", "known", "new"]
    assert sorted(fixture.outcomes) == [("down", "PROVIDER_UNREACHABLE"), ("up", "")]


async def test_refresh_of_one_provider_raises_its_error() -> None:
    fixture = DiscoveryFixture(down=FakeLister(ProviderUnreachable("no")))

    with pytest.raises(ProviderUnreachable):
        await fixture.discovery("down")


async def test_provider_without_a_lister_is_skipped() -> None:
    fixture = DiscoveryFixture()

    await fixture.discovery("mock")

    assert fixture.outcomes == []


def test_listed_model_that_was_retired_is_skipped() -> None:
    catalog = Catalog.load()

    catalog.update_listed("claude", [Model("claude", "claude-2.1"), Model("claude", "claude-next")])

    assert catalog.find("claude", "claude-2.1") is None
    assert catalog.find("claude", "claude-next") == Model("claude", "claude-next")


@pytest.mark.parametrize(
    ("provider", "listed", "nearest"),
    [
        ("claude", "claude-opus-6", "claude-opus-5-5"),
        ("claude", "claude-haiku-4-5-20260301", "claude-haiku-4-5"),
        ("openai", "gpt-7-sol-preview", "gpt-6.2-sol"),
        ("openai", "gpt-4o-2025-11-20", "gpt-4o"),
        ("groq", "qwen/qwen4-30b", "qwen/qwen3.8-27b"),
    ],
)
def test_listed_model_inherits_the_capabilities_of_its_family(provider: str, listed: str, nearest: str) -> None:
    catalog = Catalog.load()

    catalog.update_listed(provider, [Model(provider, listed)])

    inherited, known = catalog.find(provider, listed), catalog.find(provider, nearest)
    assert inherited is not None
    assert known is not None
    note = f"As {nearest}, the nearest model with known facts."
    assert inherited.capabilities == {
        capability: Support(support.level, note)
        for capability, support in known.capabilities.items()
        if support.level is not SupportLevel.NONE
    }
    assert replace(inherited, capabilities={}) == Model(provider, listed)


@pytest.mark.parametrize("listed", ["gpt-image-3", "o5", "whisper-2", "gpt-5.5-realtime", "text-embedding-4-large"])
def test_listed_model_outside_the_families_has_no_capabilities(listed: str) -> None:
    catalog = Catalog.load()

    catalog.update_listed("openai", [Model("openai", listed)])

    assert catalog.find("openai", listed) == Model("openai", listed)
