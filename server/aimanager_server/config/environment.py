"""Tell the environment variables that are settings from those that only share their prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from .coercion import setting_names
from .settings import Settings
from .types import SettingPath

ENV_PREFIX = "AIMANAGER_"
SEPARATOR = "__"
CONFIG_ENV = "AIMANAGER_CONFIG"
"""The variable with the path of the config file."""

CLIENT_ENV = ("AIMANAGER_TARGET", "AIMANAGER_TOKEN")
"""Variables of the Python client, which may run in the same environment."""

KUBERNETES_SERVICE_LINKS = re.compile(
    r"AIMANAGER(_[A-Z0-9]+)*?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)"
)
"""Variables that Kubernetes sets in every pod for a Service named aimanager or aimanager-…."""

MIN_SIMILARITY = 0.75


@dataclass(frozen=True, slots=True)
class UnknownVariable:
    """A variable with the prefix that names no setting and is ignored; `nearest` is a similar name, or empty."""

    name: str
    nearest: str

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.name} is not a setting and is ignored{hint}"


def setting_variables(environment: Mapping[str, str]) -> dict[str, SettingPath]:
    """Return the path of each variable that is not empty and names a setting, or would if it were spelled correctly.

    These are the names of sections, and every name with two underscores in a row.
    """
    return {name: path for name, path in _variables(environment) if _is_setting(path)}


def unknown_variables(environment: Mapping[str, str]) -> tuple[UnknownVariable, ...]:
    """Return the other variables with the prefix, but for those of the client, of Kubernetes and of the config file."""
    unknown = sorted(name for name, path in _variables(environment) if not _is_setting(path))
    return tuple(UnknownVariable(name, _nearest(name)) for name in unknown)


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, SettingPath]]:
    for name, text in environment.items():
        is_other = name in (CONFIG_ENV, *CLIENT_ENV) or KUBERNETES_SERVICE_LINKS.fullmatch(name)
        if name.startswith(ENV_PREFIX) and text and not is_other:
            yield name, tuple(name.removeprefix(ENV_PREFIX).lower().split(SEPARATOR))


def _is_setting(path: SettingPath) -> bool:
    return len(path) > 1 or path[0] in Settings.model_fields


def _nearest(variable: str) -> str:
    """Return the known variable whose last part is the name, or the most similar one."""
    wanted = variable.removeprefix(ENV_PREFIX).lower()
    known = {path: _variable(path) for path in _known_paths()}
    known.update({(name.removeprefix(ENV_PREFIX).lower(),): name for name in (CONFIG_ENV, *CLIENT_ENV)})
    ending = [name for path, name in known.items() if path[-1] == wanted]
    if ending:
        return ending[0]
    by_text = {"_".join(map(str, path)): name for path, name in known.items()}
    closest = get_close_matches(wanted, by_text, n=1, cutoff=MIN_SIMILARITY)
    return by_text[closest[0]] if closest else ""


def _known_paths() -> Iterator[SettingPath]:
    for section in Settings.model_fields:
        yield (section,)
        yield from ((section, name) for name in setting_names((section,)))


def _variable(path: SettingPath) -> str:
    return ENV_PREFIX + SEPARATOR.join(map(str, path)).upper()
