"""Lets in the plug-ins that the operator named, and no others: their entry points, or what a program registers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from ...config.errors import Problem, SettingsError
from ...config.provider_defaults import KNOWN
from .api import ProviderPlugin, defects

GROUP = "aimanager.providers"
SETTING = "plugins.providers"


class ProviderRegistry:
    """The provider plug-ins of one server, by name. `found` are the entry points to choose from."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._found = tuple(entry_points(group=GROUP) if found is None else found)
        self._plugins: dict[str, ProviderPlugin] = {}

    def register_provider(self, plugin: ProviderPlugin) -> None:
        """Add a plug-in. Raises SettingsError where it is not one, or its name is taken."""
        problems = [_problem(getattr(plugin, "name", "?"), text) for text in self._refusals(plugin)]
        if problems:
            raise SettingsError(problems)
        self._plugins[plugin.name] = plugin

    def get_provider(self, name: str) -> ProviderPlugin:
        """The plug-in of that name. Raises SettingsError where there is none."""
        if name not in self._plugins:
            raise SettingsError([_problem(name, f"is not registered; there are: {_listed(self._plugins)}")])
        return self._plugins[name]

    def load(self, names: Sequence[str]) -> Mapping[str, ProviderPlugin]:
        """The plug-ins of these names: those registered, the others from their entry points.

        Nothing else is imported. Raises SettingsError with every problem found.
        """
        problems = [problem for name in names if name not in self._plugins for problem in self._load(name)]
        if problems:
            raise SettingsError(problems)
        return {name: self._plugins[name] for name in names}

    def _load(self, name: str) -> Iterator[Problem]:
        offers = [entry for entry in self._found if entry.name == name]
        if not offers:
            installed = _listed({entry.name for entry in self._found})
            yield _problem(name, f"no installed package has such a plug-in; installed are: {installed}")
        elif len(offers) > 1:
            yield _problem(name, f"several installed packages have one: {', '.join(map(_origin, offers))}; keep one")
        else:
            yield from self._import(name, offers[0])

    def _import(self, name: str, entry: EntryPoint) -> Iterator[Problem]:
        try:
            loaded = entry.load()
            plugin = loaded() if isinstance(loaded, type) else loaded
        # Importing code of others may raise anything; here is the border to it.
        except Exception as error:
            yield _problem(name, f"cannot be loaded from {_origin(entry)}: {type(error).__name__}: {error}")
            return
        refusals = list(self._refusals(plugin, name))
        yield from (_problem(name, f"{text} ({_origin(entry)})") for text in refusals)
        if not refusals:
            self._plugins[name] = plugin

    def _refusals(self, plugin: ProviderPlugin, name: str = "") -> Iterator[str]:
        yield from defects(plugin, name)
        said = getattr(plugin, "name", None)
        if not isinstance(said, str):
            return
        if said in KNOWN:
            yield "it has the name of a provider that comes with the server"
        elif said in self._plugins:
            yield "its name is taken by another plug-in"


def _problem(name: object, text: str) -> Problem:
    return Problem(SETTING, "", f"plug-in {name!r}: {text}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
