"""Merge configuration layers, and record which layer set each value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import Problem, dotted_path
from .providers import KEY_SETTINGS
from .types import SettingPath


class ConfigLayers:
    """Nested tables merged from the highest layer down: a value that is set stays, a lower layer adds the missing ones.

    `origins` holds the source of each value, `problems` the values that could not be merged.
    """

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}
        self.origins: dict[SettingPath, str] = {}
        self.problems: list[Problem] = []
        self._table_origins: dict[SettingPath, str] = {}

    def add(self, values: Mapping[Any, Any], origin: str) -> None:
        """Add the values that are not set yet, all from one source."""
        self._merge(self.values, values, (), lambda _: origin)

    def add_layer(self, layer: ConfigLayers) -> None:
        """Add the values of a lower layer. The keys of a provider come from one layer: the highest that sets any."""
        lower = layer.providers()
        for name, provider in self.providers().items():
            if name in lower and not provider.keys().isdisjoint(KEY_SETTINGS):
                for key in KEY_SETTINGS:
                    lower[name].pop(key, None)
        self.problems.extend(layer.problems)
        self._merge(self.values, layer.values, (), layer.origin_of)

    def providers(self) -> dict[str, dict[str, Any]]:
        """Return the providers that are tables."""
        providers = self.values.get("providers")
        if not isinstance(providers, dict):
            return {}
        return {name: provider for name, provider in providers.items() if isinstance(provider, dict)}

    def origin_of(self, path: SettingPath) -> str:
        """Return the source of the value, or of the smallest table around it; empty if nothing was set there."""
        for end in range(len(path), 0, -1):
            origin = self.origins.get(path[:end]) or self._table_origins.get(path[:end])
            if origin:
                return origin
        return ""

    def _merge(
        self,
        target: dict[Any, Any],
        values: Mapping[Any, Any],
        path: SettingPath,
        origin_of: Callable[[SettingPath], str],
    ) -> None:
        for name, value in values.items():
            here = (*path, name)
            if isinstance(value, Mapping):
                self._table_origins.setdefault(here, origin_of(here))
                inner = target.setdefault(name, {})
                if isinstance(inner, dict):
                    self._merge(inner, value, here, origin_of)
            elif name not in target:
                target[name] = value
                self.origins[here] = origin_of(here)
            elif isinstance(target[name], dict):
                self.problems.append(Problem(dotted_path(here), origin_of(here), "must be a table"))
