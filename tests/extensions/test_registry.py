"""Finding, creating and registering extensions, and the errors for invalid ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from aimanager_server.config.errors import SettingsError
from aimanager_server.config.extensions import ExtensionSettings, ExtensionsSettings
from aimanager_server.extensions.registry import ENTRY_POINT_GROUP, ExtensionSet, FeatureManager
from aimanager_server.telemetry.extension_metrics import ExtensionMetrics
from tests.support.extensions import DictTagging, Tagging, features
from tests.support.gateway import settings_with

METRICS = ExtensionMetrics(CollectorRegistry())
SOURCE = """
class Acme:
    name = 'acme'
    api_version = 1
    def __init__(self, options):
        self.options = options
    def on_request(self, call, request):
        return None
class Plain(Acme):
    def __init__(self):
        self.options = None
plain = Plain()
def broken():
    raise ValueError('broken')
class Nameless(Plain):
    @property
    def name(self):
        raise KeyError('name')
class Other(Plain):
    name = 'other'
    api_version = 2
    on_request = None
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A module on sys.path, which is unloaded afterwards."""
    (tmp_path / "acme_extension.py").write_text(SOURCE)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    sys.modules.pop("acme_extension", None)


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, f"acme_extension:{value}", ENTRY_POINT_GROUP)


def opened(
    manager: FeatureManager, *names: str, options: dict[str, Any] | None = None, previous: ExtensionSet | None = None
) -> ExtensionSet:
    tables = {name: ExtensionSettings(options=options) for name in names} if options is not None else {}
    return ExtensionSet(ExtensionsSettings(enabled=list(names), settings=tables), manager, METRICS, previous)


def problems_of(manager: FeatureManager, *names: str, options: dict[str, Any] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        opened(manager, *names, options=options)
    return str(caught.value)


def test_features_are_applied_in_order_and_answers_in_reverse() -> None:
    manager = features(DictTagging("a"), DictTagging("b"))

    request = manager.apply_request_extensions({"messages": [{"role": "user", "parts": []}]})
    response = manager.apply_response_extensions({"content": "Hello"})

    assert list(manager.extensions) == ["a", "b"]
    assert request["messages"][0]["parts"] == [{"text": "+a"}, {"text": "+b"}]
    assert response["content"] == "Hello -b -a"


def test_only_a_server_applies_a_native_extension() -> None:
    with pytest.raises(TypeError, match="Extension 'tagging' is not a FeatureExtension"):
        features(Tagging()).apply_request_extensions({})


@pytest.mark.parametrize(
    ("extension", "problems"),
    [
        (Tagging("taken"), ["name is already used by another extension"]),
        (Tagging("Not a name"), ["name must be 1 to 63 characters of a-z, 0-9, - and _, got 'Not a name'"]),
        (object(), ["got None", "api_version must be 1, got None", "must have one of the methods on_request"]),
    ],
)
def test_an_invalid_extension_is_rejected_with_every_problem(extension: Any, problems: list[str]) -> None:
    manager = features(Tagging("taken"))

    with pytest.raises(SettingsError) as caught:
        manager.register_extension(extension)

    for problem in problems:
        assert problem in str(caught.value)


@pytest.mark.parametrize(("value", "options"), [("Acme", {"words": 5}), ("Plain", None), ("plain", None)])
def test_an_entry_point_is_an_extension_or_creates_one(package: Path, value: str, options: Any) -> None:
    runners = opened(FeatureManager([entry("acme", value)]), "acme", options=options).runners

    assert [runner.name for runner in runners] == ["acme"]
    assert runners[0]._extension.options == options  # type: ignore[attr-defined]  # of the example


@pytest.mark.parametrize(
    ("name", "value", "options", "problem"),
    [
        ("acme", "broken", None, "import from acme_extension:broken failed: ValueError: broken"),
        ("acme", "Absent", None, "import from acme_extension:Absent failed: AttributeError"),
        ("acme", "Nameless", None, "import from acme_extension:Nameless failed: KeyError: 'name'"),
        ("acme", "Other", None, "name must be that of its entry point, 'acme', got 'other' (acme_extension:Other)"),
        ("acme", "Other", None, "api_version must be 1, got 2"),
        ("acme", "Other", None, "must have one of the methods on_request, on_events, on_completion"),
        ("acme", "Plain", {"a": 1}, "extensions.settings.acme.options: extension 'acme': takes no options"),
    ],
)
def test_an_invalid_entry_point_is_rejected(
    package: Path, name: str, value: str, options: dict[str, Any] | None, problem: str
) -> None:
    assert problem in problems_of(FeatureManager([entry(name, value)]), name, options=options)


def test_all_unknown_extensions_are_reported_with_the_nearest_name() -> None:
    manager = FeatureManager([entry("redact", "Acme")])
    manager.register_extension(Tagging("audit"))

    text = problems_of(manager, "audti", "nothing-like-it")

    assert "extension 'audti': not found in any installed package; did you mean 'audit'?" in text
    assert "extension 'nothing-like-it': not found in any installed package; installed extensions: audit, red" in text


def test_only_enabled_extensions_are_imported(package: Path) -> None:
    assert opened(FeatureManager([entry("acme", "Acme")])).runners == ()
    assert "acme_extension" not in sys.modules


def test_two_packages_with_one_name_are_rejected(package: Path) -> None:
    manager = FeatureManager([entry("acme", "Acme"), entry("acme", "Plain")])

    assert "provided by several installed packages" in problems_of(manager, "acme")


def test_a_registered_extension_takes_no_options_from_the_settings() -> None:
    text = problems_of(features(Tagging("audit")), "audit", options={"a": 1})

    assert "is registered by the program, which sets its options itself" in text


def test_extensions_with_the_same_settings_are_used_again(package: Path) -> None:
    manager = FeatureManager([entry("acme", "Acme")])
    manager.register_extension(Tagging("audit"))
    before = opened(manager, "acme", options={"words": 1})

    same = opened(manager, "acme", options={"words": 1}, previous=before)
    changed = opened(manager, "acme", options={"words": 2}, previous=before)

    assert same.runners == before.runners
    assert same.unused_of(before) == []
    assert changed.unused_of(before) == list(before.runners)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"enabled": ["a", "a"]}, "extensions.enabled[1] (argument): duplicate name"),
        (
            {"enabled": ["a"], "settings": {"b": {}}},
            "settings.b (argument): is not in extensions.enabled, which lists",
        ),
        (
            {"enabled": ["a"], "settings": {"a": {"run_in": "process"}}},
            "run_in (argument): must be 'event_loop' or 'thread'",
        ),
    ],
)
def test_inconsistent_settings_are_rejected(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_with(extensions=table)

    assert problem in str(caught.value)


def test_packages_installed_after_the_start_are_found(package: Path) -> None:
    manager = FeatureManager()
    before = problems_of(manager, "acme")
    install(package, "acme_one")
    found = opened(manager, "acme").runners

    install(package, "acme_two")
    ambiguous = problems_of(FeatureManager(), "acme")

    assert "extension 'acme': not found in any installed package" in before
    assert [runner.name for runner in found] == ["acme"]
    assert "provided by several installed packages: acme_one 1.0, acme_two 1.0" in ambiguous


def install(site: Path, name: str) -> None:
    """Write what pip writes for a package with the extension."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nacme = acme_extension:Plain\n")
