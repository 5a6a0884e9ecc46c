"""Values in tables, each with the place where it was said: what one level of the cascade says, and what all say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import Problem, key_of
from .providers import KEY_NAMES
from .types import Place


class Tree:
    """Tables that fill from the highest level down: what is said stays, what is added is what was still missing.

    `origins` says where each value was said, `problems` what could not be joined.
    """

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}
        self.origins: dict[Place, str] = {}
        self.problems: list[Problem] = []
        self._mentions: dict[Place, str] = {}

    def fill(self, values: Mapping[Any, Any], origin: str) -> None:
        """Add what is not said yet, all of one origin."""
        self._fill(self.values, values, (), lambda _: origin)

    def put_below(self, level: Tree) -> None:
        """Add what a lower level says besides. A provider's keys are one matter: who says one of them says them all."""
        providers = level.providers()
        for name, provider in self.providers().items():
            if name in providers and not provider.keys().isdisjoint(KEY_NAMES):
                for key in KEY_NAMES:
                    providers[name].pop(key, None)
        self.problems.extend(level.problems)
        self._fill(self.values, level.values, (), level.source_of)

    def providers(self) -> dict[str, dict[str, Any]]:
        """The providers said so far that are tables."""
        providers = self.values.get("providers")
        if not isinstance(providers, dict):
            return {}
        return {name: provider for name, provider in providers.items() if isinstance(provider, dict)}

    def source_of(self, place: Place) -> str:
        """Where the value was said, or else the smallest table around it; empty where nobody said any."""
        for end in range(len(place), 0, -1):
            source = self.origins.get(place[:end]) or self._mentions.get(place[:end])
            if source:
                return source
        return ""

    def _fill(
        self, into: dict[Any, Any], values: Mapping[Any, Any], place: Place, origin_of: Callable[[Place], str]
    ) -> None:
        for name, value in values.items():
            here = (*place, name)
            if isinstance(value, Mapping):
                self._mentions.setdefault(here, origin_of(here))
                inner = into.setdefault(name, {})
                if isinstance(inner, dict):
                    self._fill(inner, value, here, origin_of)
            elif name not in into:
                into[name] = value
                self.origins[here] = origin_of(here)
            elif isinstance(into[name], dict):
                self.problems.append(Problem(key_of(here), origin_of(here), "accepted is a table"))
