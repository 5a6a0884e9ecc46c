"""What the catalogue learns from the providers' own lists, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aimanager_server.catalog.catalog import Catalogue, Model
from aimanager_server.catalog.discovery import Discover
from aimanager_server.core.errors import GatewayError, MissingCredentials, ProviderUnreachable

KNOWN = [Model("up", "known"), Model("down", "old")]


class Lists:
    def __init__(self, outcome: Sequence[Model] | GatewayError) -> None:
        self.outcome = outcome

    async def models(self) -> Sequence[Model]:
        if isinstance(self.outcome, GatewayError):
            raise self.outcome
        return self.outcome


class World:
    def __init__(self, **listers: Lists) -> None:
        self.catalogue = Catalogue(KNOWN)
        self.noted: list[tuple[str, str]] = []
        self.discover = Discover(listers, self.catalogue, self._note)

    def _note(self, provider: str, fault: GatewayError | None) -> None:
        self.noted.append((provider, fault.reason if fault else ""))

    def ids(self, provider: str = "") -> list[str]:
        return [model.id for model in self.catalogue.models(provider)]


async def test_models_that_only_the_provider_knows_come_after_those_of_the_file() -> None:
    world = World(up=Lists([Model("up", "new", name="New"), Model("up", "known", name="Other")]))

    await world.discover()

    assert world.ids("up") == ["known", "new"]
    assert world.catalogue.find("up", "new") == Model("up", "new", name="New")
    assert world.catalogue.find("up", "known") == Model("up", "known")
    assert world.ids() == ["old", "known", "new"]
    assert world.noted == [("up", "")]


async def test_a_second_list_takes_the_place_of_the_first() -> None:
    lists = Lists([Model("up", "new")])
    world = World(up=lists)

    await world.discover("up")
    lists.outcome = [Model("up", "newer")]
    await world.discover("up")

    assert world.ids("up") == ["known", "newer"]
    assert world.catalogue.find("up", "new") is None


async def test_one_that_fails_among_all_keeps_what_is_known_and_is_noted() -> None:
    world = World(
        up=Lists([Model("up", "new")]), down=Lists(ProviderUnreachable("no")), keyless=Lists(MissingCredentials("no"))
    )

    await world.discover()

    assert world.ids() == ["old", "known", "new"]
    assert sorted(world.noted) == [("down", "PROVIDER_UNREACHABLE"), ("up", "")]


async def test_one_that_was_named_raises_its_fault() -> None:
    world = World(down=Lists(ProviderUnreachable("no")))

    with pytest.raises(ProviderUnreachable):
        await world.discover("down")


async def test_one_that_lists_nothing_is_passed_over() -> None:
    world = World()

    await world.discover("mock")

    assert world.noted == []


def test_what_was_retired_stays_so_and_corrections_survive() -> None:
    catalogue = Catalogue.load()

    catalogue.learn("claude", [Model("claude", "claude-2.1"), Model("claude", "claude-next")])

    assert catalogue.find("claude", "claude-2.1") is None
    assert catalogue.find("claude", "claude-next") == Model("claude", "claude-next")
