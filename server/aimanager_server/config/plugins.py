"""Which plug-ins an operator lets in, and the settings of the providers they add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from .types import Name, Section

WIRE = "plugin"
"""What the settings of a provider have for a wire where a plug-in speaks it."""


class Plugins(Section):
    """Code of others that is loaded: nothing but what is named here."""

    providers: list[Name] = Field(default_factory=list)
    """Names of the entry points in the group aimanager.providers; each adds a provider of its name."""


def plugged(section: object) -> dict[str, dict[str, Any]]:
    """What holds for the provider of each plug-in where nobody said anything: it needs no key.

    `section` is the table [plugins] as it was said; what is no such table is left for validation to refuse.
    """
    names = section.get("providers") if isinstance(section, Mapping) else None
    usable = (name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
    return {name: {"wire": WIRE, "key_variable": ""} for name in usable}


def with_plugged(given: object, plugins: Plugins) -> object:
    """The providers as given, and one for each plug-in."""
    if not isinstance(given, Mapping):
        return given
    providers = dict(given)
    for name, defaults in plugged(plugins.model_dump()).items():
        said = providers.get(name, {})
        providers[name] = {**defaults, **said} if isinstance(said, Mapping) else said
    return providers
