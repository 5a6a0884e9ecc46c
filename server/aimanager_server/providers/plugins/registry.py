"""Load the plug-ins that the operator named, from entry points of installed packages or registered by a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from ...config.errors import Problem, SettingsError
from ...config.provider_defaults import KNOWN_PROVIDERS
from .api import NativePlugin, plugin_problems

ENTRY_POINT_GROUP = "aimanager.providers"
SETTING = "plugins.providers"


class ProviderRegistry:
    """The plug-ins of one server by name. `found` are the available entry points, by default all installed ones."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._entry_points = tuple(entry_points(group=ENTRY_POINT_GROUP) if found is None else found)
        self._plugins: dict[str, NativePlugin] = {}

    def register_provider(self, plugin: NativePlugin) -> None:
        """Add a plug-in. Raises SettingsError if it is invalid or its name is in use."""
        problems = [_problem(getattr(plugin, "name", "?"), text) for text in self._problems(plugin)]
        if problems:
            raise SettingsError(problems)
        self._plugins[plugin.name] = plugin

    def get_provider(self, name: str) -> NativePlugin:
        """Return the plug-in of this name. Raises SettingsError if none is registered."""
        if name not in self._plugins:
            raise SettingsError([_problem(name, f"not registered; registered plug-ins: {_join(self._plugins)}")])
        return self._plugins[name]

    def load(self, names: Sequence[str]) -> Mapping[str, NativePlugin]:
        """Return the plug-ins of these names, registered ones first, then those of entry points.

        Other entry points are not imported. Raises SettingsError with every problem found.
        """
        problems = [problem for name in names if name not in self._plugins for problem in self._load(name)]
        if problems:
            raise SettingsError(problems)
        return {name: self._plugins[name] for name in names}

    def _load(self, name: str) -> Iterator[Problem]:
        candidates = [entry_point for entry_point in self._entry_points if entry_point.name == name]
        if not candidates:
            installed = _join({entry_point.name for entry_point in self._entry_points})
            yield _problem(name, f"not found in any installed package; installed plug-ins: {installed}")
        elif len(candidates) > 1:
            packages = ", ".join(map(_package, candidates))
            yield _problem(name, f"provided by several installed packages: {packages}; uninstall all but one")
        else:
            yield from self._import(name, candidates[0])

    def _import(self, name: str, entry_point: EntryPoint) -> Iterator[Problem]:
        try:
            loaded = entry_point.load()
            plugin = loaded() if isinstance(loaded, type) else loaded
            problems = list(self._problems(plugin, name))
        # Importing third-party code may raise anything.
        except Exception as error:
            yield _problem(name, f"import from {_package(entry_point)} failed: {type(error).__name__}: {error}")
            return
        yield from (_problem(name, f"{text} ({_package(entry_point)})") for text in problems)
        if not problems:
            self._plugins[name] = plugin

    def _problems(self, plugin: NativePlugin, name: str = "") -> Iterator[str]:
        yield from plugin_problems(plugin, name)
        actual = getattr(plugin, "name", None)
        if not isinstance(actual, str):
            return
        if actual in KNOWN_PROVIDERS:
            yield "name is reserved for a built-in provider"
        elif actual in self._plugins:
            yield "name is already used by another plug-in"


def _problem(name: object, text: str) -> Problem:
    return Problem(SETTING, "", f"plug-in {name!r}: {text}")


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _package(entry_point: EntryPoint) -> str:
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else entry_point.value
