"""Find the extensions that the operator named, in installed packages or registered by a program, and run them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import invalidate_caches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..config.errors import Problem, SettingsError
from ..config.extensions import ExtensionSettings, ExtensionsSettings
from ..telemetry.extension_metrics import ExtensionMetrics
from .api import Extension, FeatureExtension, extension_problems
from .runner import ExtensionRunner

ENTRY_POINT_GROUP = "aimanager.extensions"


class UnusableExtension(Exception):
    """An extension cannot be used, for these reasons."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*map(str, problems))
        self.problems = problems


class FeatureManager:
    """The extensions of one server by name. `found` are the available entry points, by default all installed ones."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._reads_installed = found is None
        self._entry_points = tuple(found or ())
        self.extensions: dict[str, Extension] = {}

    def register_extension(self, extension: Extension) -> None:
        """Add an extension. Raises SettingsError if it is invalid or its name is in use.

        It is used if the settings enable it, in all configurations: it is not created again when they change.
        """
        name = getattr(extension, "name", "?")
        problems = [_problem(name, text) for text in extension_problems(extension)]
        if name in self.extensions:
            problems.append(_problem(name, "name is already used by another extension"))
        if problems:
            raise SettingsError(problems)
        self.extensions[name] = extension

    def apply_request_extensions(self, request_data: dict[str, Any]) -> dict[str, Any]:
        """Pass a request through `process_request` of all registered extensions, in the order of registration.

        For tests of extensions: a server applies those that its settings enable.
        """
        for extension in self._features():
            request_data = extension.process_request(request_data)
        return request_data

    def apply_response_extensions(self, response_data: dict[str, Any]) -> dict[str, Any]:
        """Pass a response through `process_response` of all registered extensions, the last one first."""
        for extension in reversed(self._features()):
            response_data = extension.process_response(response_data)
        return response_data

    def create(self, name: str, settings: ExtensionSettings, metrics: ExtensionMetrics) -> ExtensionRunner:
        """Return a runner of an extension: the registered one, or a new one of an entry point.

        Raises UnusableExtension.
        """
        if name not in self.extensions:
            return ExtensionRunner(self._load(name, settings), settings, metrics)
        if settings.options:
            text = "is registered by the program, which sets its options itself"
            raise UnusableExtension(_problem(name, text, settings_of=name))
        return ExtensionRunner(self.extensions[name], settings, metrics, is_owned=False)

    def _features(self) -> list[FeatureExtension]:
        others = [name for name, one in self.extensions.items() if not isinstance(one, FeatureExtension)]
        if others:
            raise TypeError(f"Extension {others[0]!r} is not a FeatureExtension: only a server can apply it.")
        return [one for one in self.extensions.values() if isinstance(one, FeatureExtension)]

    def _load(self, name: str, settings: ExtensionSettings) -> Extension:
        candidates = self._candidates(name)
        if not candidates:
            raise UnusableExtension(_problem(name, self._not_found(name)))
        if len(candidates) > 1:
            packages = ", ".join(map(_package, candidates))
            text = f"provided by several installed packages: {packages}; uninstall all but one"
            raise UnusableExtension(_problem(name, text))
        package = _package(candidates[0])
        try:
            extension = _created(candidates[0].load(), settings.options)
            problems = [_problem(name, f"{text} ({package})") for text in extension_problems(extension, name)]
        except _TakesNoOptions:
            raise UnusableExtension(_problem(name, f"takes no options ({package})", settings_of=name)) from None
        # Importing and creating third-party code may raise anything.
        except Exception as error:
            text = f"import from {package} failed: {type(error).__name__}: {error}"
            raise UnusableExtension(_problem(name, text)) from error
        if problems:
            raise UnusableExtension(*problems)
        return extension

    def _candidates(self, name: str) -> list[EntryPoint]:
        """Return the entry points of this name. Packages may have been installed or removed since the last time."""
        candidates = [entry_point for entry_point in self._entry_points if entry_point.name == name]
        if len(candidates) == 1 or not self._reads_installed:
            return candidates
        invalidate_caches()
        self._entry_points = tuple(entry_points(group=ENTRY_POINT_GROUP))
        return [entry_point for entry_point in self._entry_points if entry_point.name == name]

    def _not_found(self, name: str) -> str:
        known = sorted({*self.extensions, *(entry_point.name for entry_point in self._entry_points)})
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return f"not found in any installed package; {hint}installed extensions: {', '.join(known) or 'none'}"


class ExtensionSet:
    """The extensions of one configuration, in order. Those of `previous` with the same settings are used again.

    Raises SettingsError with every extension that cannot be used.
    """

    def __init__(
        self,
        settings: ExtensionsSettings,
        registry: FeatureManager,
        metrics: ExtensionMetrics,
        previous: ExtensionSet | None = None,
    ) -> None:
        used = {} if previous is None else {runner.name: runner for runner in previous.runners}
        runners, problems = list[ExtensionRunner](), list[Problem]()
        for name in settings.enabled:
            try:
                runners.append(_runner(name, settings.of(name), registry, metrics, used))
            except UnusableExtension as error:
                problems += error.problems
        if problems:
            raise SettingsError(problems)
        self.runners: tuple[ExtensionRunner, ...] = tuple(runners)

    def unused_of(self, previous: ExtensionSet) -> list[ExtensionRunner]:
        """Return the extensions of an earlier configuration that this one does not use."""
        return [runner for runner in previous.runners if runner not in self.runners]


def _runner(
    name: str,
    settings: ExtensionSettings,
    registry: FeatureManager,
    metrics: ExtensionMetrics,
    used: Mapping[str, ExtensionRunner],
) -> ExtensionRunner:
    known = used.get(name)
    return known if known is not None and known.settings == settings else registry.create(name, settings, metrics)


class _TakesNoOptions(Exception):
    """The settings have options, and the extension takes none."""


def _created(loaded: Any, options: Mapping[str, Any]) -> Extension:
    """Return the extension that an entry point names or creates."""
    if not callable(loaded):
        return _without_options(loaded, options)
    if "options" in inspect.signature(loaded).parameters:
        created: Extension = loaded(options=dict(options))
        return created
    return _without_options(loaded(), options)


def _without_options(extension: Extension, options: Mapping[str, Any]) -> Extension:
    if options:
        raise _TakesNoOptions
    return extension


def _problem(name: object, text: str, settings_of: str = "") -> Problem:
    setting = f"extensions.settings.{settings_of}.options" if settings_of else "extensions.enabled"
    return Problem(setting, "", f"extension {name!r}: {text}")


def _package(entry_point: EntryPoint) -> str:
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else entry_point.value
