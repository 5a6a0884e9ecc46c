"""Where a value comes from when several places say one: arguments, file, environment, provider defaults, defaults.

The first of them that says a value wins, table by table and key by key; lists are taken whole. A file therefore beats
the environment: what was reviewed and deployed is not changed by a variable left over in a shell.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from . import provider_defaults
from .coercion import hint_for, nested, value_of
from .errors import Problem, SettingsError, problems_of
from .layers import Tree
from .plugins import plugged
from .providers import KEY_NAMES
from .settings import Settings
from .types import Place

PREFIX = "AIMANAGER_"
CONFIG_VARIABLE = "AIMANAGER_CONFIG"
"""Names the config file; it is no setting itself."""

KUBERNETES = re.compile(
    r"AIMANAGER(_[A-Z0-9]+)*?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)"
)
"""What Kubernetes sets in every pod beside a Service called aimanager or aimanager-…"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and where each value was said.

    `origins` is by place: "argument", "file:PATH", "environment:VARIABLE" or "provider default". What is absent has its
    system default.
    """

    settings: Settings
    origins: Mapping[Place, str]

    def origin(self, place: Place) -> str:
        """Where the value at the place was said, or what is in it; "default" where nobody said anything."""
        around = (self.origins.get(place[:end]) for end in range(len(place), 0, -1))
        inside = (origin for said, origin in self.origins.items() if said[: len(place)] == place)
        return next(filter(None, (*around, *inside)), "default")


def load(arguments: Mapping[str, Any], config: Path | None, environment: Mapping[str, str]) -> Loaded:
    """Join all levels; `arguments` is nested as the file is.

    Reads the file, the key files, and no variable but those given. Raises SettingsError with every problem found.
    """
    tree = Tree()
    tree.fill(arguments, "argument")
    tree.put_below(_file(config))
    tree.put_below(_environment(environment))
    names = (*provider_defaults.present(environment), *tree.providers())
    tree.put_below(_vendors(environment, names))
    tree.fill({"providers": plugged(tree.values.get("plugins"))}, "provider default")
    tree.fill({"providers": provider_defaults.every(names, tree.providers())}, "provider default")
    _take_keys(tree, environment)
    return Loaded(_validated(tree), dict(tree.origins))


def _file(config: Path | None) -> Tree:
    tree = Tree()
    if config is None:
        return tree
    try:
        with config.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        text = f"cannot be read ({error.strerror}); accepted is the path of a TOML file"
        raise SettingsError([Problem("config", f"file:{config}", text)]) from None
    except UnicodeDecodeError:
        raise SettingsError([Problem("config", f"file:{config}", "is not TOML; accepted is UTF-8 text")]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([Problem("config", f"file:{config}", _toml_problem(str(error)))]) from None
    tree.fill(values, f"file:{config}")
    return tree


def _toml_problem(message: str) -> str:
    """The parser's words without those of the file: it quotes names, and a key may stand where a name should."""
    place = re.search(r"\(at (line \d+, column \d+|end of document)\)$", message)
    what = re.sub(r"\('.*?\)|\(\".*?\)|'[^']{2,}'|\"[^\"]{2,}\"", "…", message[: place.start()] if place else message)
    return f"is not TOML at {place[1] if place else 'some line'}: {what.strip()}"


def _environment(environment: Mapping[str, str]) -> Tree:
    """`AIMANAGER_SERVER__LISTEN` and the like. An empty variable says nothing; of two, the more particular wins."""
    tree = Tree()
    said = [
        (tuple(variable.removeprefix(PREFIX).lower().split("__")), variable, text)
        for variable, text in environment.items()
        if variable.startswith(PREFIX) and text and variable != CONFIG_VARIABLE and not KUBERNETES.fullmatch(variable)
    ]
    for place, variable, text in sorted(said, key=lambda row: (-len(row[0]), row[1])):
        tree.fill(nested(place, value_of(text, place)), f"environment:{variable}")
    return tree


def _vendors(environment: Mapping[str, str], names: Collection[str]) -> Tree:
    tree = Tree()
    for provider, variable in provider_defaults.BASE_URL_VARIABLES.items():
        if environment.get(variable) and provider in names:
            tree.fill(nested(("providers", provider, "base_url"), environment[variable]), f"environment:{variable}")
    return tree


def _take_keys(tree: Tree, environment: Mapping[str, str]) -> None:
    """Give the providers that have no key yet the one in their variable. A disabled provider gets none."""
    for name, provider in tree.providers().items():
        variable = provider.get("key_variable")
        has_key = not provider.keys().isdisjoint(KEY_NAMES)
        if has_key or provider.get("enabled") is False or not isinstance(variable, str):
            continue
        for each in provider_defaults.key_variables(name, variable):
            if environment.get(each, "").strip():
                tree.fill(nested(("providers", name, "api_key"), environment[each]), f"environment:{each}")


def _validated(tree: Tree) -> Settings:
    problems = list(tree.problems)
    try:
        settings = Settings.model_validate(tree.values)
    except ValidationError as error:
        problems.extend(problems_of(error, tree.source_of, hint_for))
    if problems:
        raise SettingsError(problems)
    return settings
