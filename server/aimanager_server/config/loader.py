"""Load settings from arguments, the config file, the environment, provider defaults and system defaults.

The first source that sets a value wins, table by table and key by key; lists are not merged. The file takes precedence
over the environment: a variable left over in a shell does not change a configuration that was reviewed and deployed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .coercion import describe_unknown, nest, parse_value
from .environment import setting_variables
from .errors import Problem, SettingsError, problems_from
from .layers import ConfigLayers
from .provider_defaults import (
    BASE_URL_ENV,
    api_key_envs,
    defaults_for,
    plugin_provider_defaults,
    providers_with_keys,
)
from .providers import KEY_SETTINGS
from .settings import Settings
from .types import SettingPath

FILE_SETTINGS = frozenset(
    {"api_key_file", "ca_file", "certificate_file", "key_file", "client_ca_file", "encryption_key_file"}
)
"""The settings that name a file, in whichever table."""


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The effective settings, the source of each value, and the `files` that were read: the config file and its files.

    `origins` maps a path to "argument", "file:PATH", "environment:VARIABLE" or "provider default". A path without an
    entry has its system default.
    """

    settings: Settings
    origins: Mapping[SettingPath, str]
    files: tuple[Path, ...] = ()

    def origin(self, path: SettingPath) -> str:
        """Return the source of the value at `path`, of a table around it, or of a value inside it; else "default"."""
        around = (self.origins.get(path[:end]) for end in range(len(path), 0, -1))
        inside = (origin for known, origin in self.origins.items() if known[: len(path)] == path)
        return next(filter(None, (*around, *inside)), "default")


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """Where settings are loaded from, any number of times. `config` is the path of the config file, None if none."""

    arguments: Mapping[str, Any]
    config: Path | None
    environment: Mapping[str, str]

    def load(self) -> LoadedSettings:
        """Return the settings as they are now. Raises SettingsError."""
        return load(self.arguments, self.config, self.environment)


def load(arguments: Mapping[str, Any], config: Path | None, environment: Mapping[str, str]) -> LoadedSettings:
    """Merge all sources and validate the result; `arguments` is nested like the file.

    Reads the config file, the API key files, and no environment but the one given. Raises SettingsError with every
    problem found.
    """
    layers = ConfigLayers()
    layers.add(arguments, "argument")
    layers.add_layer(_file(config))
    files = () if config is None else (config,)
    layers.add_layer(_environment(environment))
    names = (*providers_with_keys(environment), *layers.providers())
    layers.add_layer(_vendor_environment(environment, names))
    layers.add({"providers": plugin_provider_defaults(layers.values.get("plugins"))}, "provider default")
    layers.add({"providers": defaults_for(names, layers.providers())}, "provider default")
    _add_api_keys(layers, environment)
    files = (*files, *dict.fromkeys(_named_files(layers.values)))
    return LoadedSettings(_validated(layers, files), dict(layers.origins), files)


def _named_files(values: object) -> Iterator[Path]:
    """Yield the path in each setting that names a file, valid or not."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            if name in FILE_SETTINGS and isinstance(value, str | Path):
                yield Path(value)
            else:
                yield from _named_files(value)
    elif isinstance(values, list):
        for value in values:
            yield from _named_files(value)


def _file(config: Path | None) -> ConfigLayers:
    layers = ConfigLayers()
    if config is None:
        return layers
    origin = f"file:{config}"
    try:
        with config.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        message = f"cannot read the file ({error.strerror}); must be the path of a TOML file"
        raise SettingsError([Problem("config", origin, message)], [config]) from None
    except UnicodeDecodeError:
        raise SettingsError([Problem("config", origin, "invalid TOML: the file is not UTF-8")], [config]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([Problem("config", origin, _toml_problem(str(error)))], [config]) from None
    layers.add(values, origin)
    return layers


def _toml_problem(message: str) -> str:
    """Return the parser's message without quoted text from the file: a misplaced API key may be in it."""
    position = re.search(r"\(at (line \d+, column \d+|end of document)\)$", message)
    cause = message[: position.start()] if position else message
    cause = re.sub(r"\('.*?\)|\(\".*?\)|'[^']{2,}'|\"[^\"]{2,}\"", "…", cause)
    return f"invalid TOML at {position[1] if position else 'an unknown line'}: {cause.strip()}"


def _environment(environment: Mapping[str, str]) -> ConfigLayers:
    """Read `AIMANAGER_SERVER__LISTEN` and the like. Empty variables are ignored; the more specific of two wins."""
    layers = ConfigLayers()
    found = setting_variables(environment).items()
    for variable, path in sorted(found, key=lambda row: (-len(row[1]), row[0])):
        layers.add(nest(path, parse_value(environment[variable], path)), f"environment:{variable}")
    return layers


def _vendor_environment(environment: Mapping[str, str], names: Collection[str]) -> ConfigLayers:
    layers = ConfigLayers()
    for provider, variable in BASE_URL_ENV.items():
        if environment.get(variable) and provider in names:
            layers.add(nest(("providers", provider, "base_url"), environment[variable]), f"environment:{variable}")
    return layers


def _add_api_keys(layers: ConfigLayers, environment: Mapping[str, str]) -> None:
    """Add the API key in the variable of each provider that has no key yet, unless the provider is disabled."""
    for name, provider in layers.providers().items():
        variable = provider.get("api_key_env")
        has_key = not provider.keys().isdisjoint(KEY_SETTINGS)
        if has_key or provider.get("enabled") is False or not isinstance(variable, str):
            continue
        for each in api_key_envs(name, variable):
            if environment.get(each, "").strip():
                layers.add(nest(("providers", name, "api_key"), environment[each]), f"environment:{each}")


def _validated(layers: ConfigLayers, files: tuple[Path, ...]) -> Settings:
    problems = list(layers.problems)
    try:
        settings = Settings.model_validate(layers.values)
    except ValidationError as error:
        problems.extend(problems_from(error, layers.origin_of, describe_unknown))
    if problems:
        raise SettingsError(problems, files)
    return settings
