"""Loading and registering plug-ins, and the errors for invalid ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest

from aimanager import AIError, AIManager, InvalidProviderError, ProviderError
from aimanager_server.config.errors import SettingsError
from aimanager_server.providers.plugins.registry import ENTRY_POINT_GROUP, ProviderRegistry
from tests.support.gateway import settings_with, started_gateway
from tests.support.plugins import ScriptedPlugin, block_event_loop, raising


class Named(ScriptedPlugin):
    def __init__(self, name: Any = "scripted", version: Any = 1, *steps: Any) -> None:
        super().__init__(*steps)
        self.name, self.api_version = name, version


class WithoutMethods:
    name = "deaf"
    api_version = 1


class SyncModels(ScriptedPlugin):
    def models(self) -> Any:
        return ["one"]


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


def problem_texts(caught: pytest.ExceptionInfo[SettingsError]) -> list[str]:
    return [problem.message for problem in caught.value.problems]


def test_a_plugin_is_registered_and_found_by_name() -> None:
    registry, plugin = ProviderRegistry([]), Named("acme")

    registry.register_provider(plugin)

    assert registry.get_provider("acme") is plugin
    assert registry.load(["acme"]) == {"acme": plugin}


def test_the_error_for_an_unknown_plugin_lists_the_known_ones() -> None:
    registry = ProviderRegistry([entry("shout", "aimanager_shout:Shout")])
    registry.register_provider(Named("acme"))

    with pytest.raises(SettingsError, match="plug-in 'acne': not registered; registered plug-ins: acme"):
        registry.get_provider("acne")
    with pytest.raises(SettingsError, match="not found in any installed package; installed plug-ins: shout"):
        registry.load(["acme", "acne"])


@pytest.mark.parametrize(
    ("plugin", "problems"),
    [
        (Named("acme", 2), ["api_version must be 1, got 2"]),
        (Named("acme", None), ["api_version must be 1, got None"]),
        (Named("Acme Inc"), ["name must be 1 to 63 characters of a-z, 0-9, - and _, got 'Acme Inc'"]),
        (Named(["acme"]), ["name must be 1 to 63 characters of a-z, 0-9, - and _, got ['acme']"]),
        (Named("claude"), ["name is reserved for a built-in provider"]),
        (Named("taken"), ["name is already used by another plug-in"]),
        (WithoutMethods(), [f"method {name}() is missing" for name in ("open", "models", "capabilities")]),
        (SyncModels(), ["method models() must be async"]),
    ],
)
def test_an_invalid_plugin_is_rejected_with_every_problem(plugin: Any, problems: list[str]) -> None:
    registry = ProviderRegistry([])
    registry.register_provider(Named("taken"))

    with pytest.raises(SettingsError) as caught:
        registry.register_provider(plugin)

    assert [text.partition(": ")[2] for text in problem_texts(caught)] == problems


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on sys.path; its modules are unloaded afterwards."""
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


ENABLED = settings_with(plugins={"providers": ["scripted"]})
VALID_SOURCE = """
from tests.support.plugins import ScriptedPlugin
class Plugin(ScriptedPlugin):
    name = 'acme'
plugin = Plugin()
"""


@pytest.mark.parametrize("value", ["acme_one:Plugin", "acme_one:plugin"])
def test_an_entry_point_is_a_plugin_or_a_plugin_class(package: Path, value: str) -> None:
    (package / "acme_one.py").write_text(VALID_SOURCE)

    loaded = ProviderRegistry([entry("acme", value)]).load(["acme"])

    assert loaded["acme"].name == "acme"


@pytest.mark.parametrize(
    ("source", "name", "problem"),
    [
        ("raise ValueError('broken')", "acme", "import from acme_two:Plugin failed: ValueError: broken"),
        ("import missing_module", "acme", "import from acme_two:Plugin failed: ModuleNotFoundError"),
        ("pass", "acme", "import from acme_two:Plugin failed: AttributeError"),
        (VALID_SOURCE, "other", "name must be that of its entry point, 'other', got 'acme' (acme_two:Plugin)"),
        (VALID_SOURCE.replace("    name", "    api_version = 9\n    name"), "acme", "api_version must be 1, got 9"),
    ],
)
def test_an_invalid_entry_point_is_rejected(package: Path, source: str, name: str, problem: str) -> None:
    (package / "acme_two.py").write_text(source)

    with pytest.raises(SettingsError) as caught:
        ProviderRegistry([entry(name, "acme_two:Plugin")]).load([name])

    assert problem in problem_texts(caught)[0]


def test_only_named_plugins_are_imported(package: Path) -> None:
    (package / "acme_three.py").write_text("raise SystemExit")

    assert ProviderRegistry([entry("acme", "acme_three:Plugin")]).load([]) == {}
    assert "acme_three" not in sys.modules


def test_two_packages_with_the_same_plugin_name_are_rejected(tmp_path: Path) -> None:
    for name in ("one", "two"):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nacme = nowhere:Plugin\n")
    entry_points = [point for installed in distributions(path=[str(tmp_path)]) for point in installed.entry_points]

    with pytest.raises(SettingsError) as caught:
        ProviderRegistry(entry_points).load(["acme"])

    assert "provided by several installed packages: " in problem_texts(caught)[0]
    assert "one 1" in problem_texts(caught)[0]
    assert "two 1" in problem_texts(caught)[0]


def test_a_registered_and_enabled_plugin_works_through_the_whole_gateway() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(ScriptedPlugin())

    with (
        started_gateway(settings_with(plugins={"providers": ["scripted"]}), registry) as target,
        AIManager.gateway(target) as ai,
    ):
        response = ai.request("Hi", model="scripted/one")
        streamed = "".join(ai.stream("Hi", model="scripted/two").text)
        models = {model.id: model for model in ai.models.list("scripted")}

    assert (response.content, response.usage.total_tokens, response.metadata.provider) == ("Hello", 5, "scripted")
    assert streamed == "Hello"
    assert models["scripted/one"].capabilities == {"streaming": "native"}
    assert models["scripted/one"].available


def test_a_registered_plugin_that_is_not_enabled_is_unknown() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(ScriptedPlugin())

    with (
        started_gateway(settings_with(), registry) as target,
        AIManager.gateway(target) as ai,
        pytest.raises(InvalidProviderError),
    ):
        ai.request("Hi", model="scripted/one")


def test_a_failing_plugin_opens_only_its_own_circuit_breaker() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(ScriptedPlugin(raising(ValueError("canary"))))
    settings = settings_with(
        plugins={"providers": ["scripted"]}, retry={"max_attempts": 1}, circuit_breaker={"failure_threshold": 2}
    )
    failures: list[str] = []

    with started_gateway(settings, registry) as target, AIManager.gateway(target) as ai:
        for _ in range(3):
            with pytest.raises(ProviderError) as caught:
                ai.request("Hi", model="scripted/one")
            failures.append(caught.value.reason)
            assert "canary" not in str(caught.value)
        other = ai.request("Hi", model="mock/fast")
        states = {health.provider: health.status for health in ai.health.list()}

    assert failures == ["PROVIDER_ERROR", "PROVIDER_ERROR", "CIRCUIT_OPEN"]
    assert (bool(other.content), states["scripted"]) == (True, "DOWN")


def test_a_blocking_plugin_does_not_block_other_providers() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(ScriptedPlugin(block_event_loop))

    with (
        started_gateway(settings_with(plugins={"providers": ["scripted"]}), registry) as target,
        AIManager.gateway(target) as ai,
    ):
        with pytest.raises(AIError) as caught:
            ai.request("Hi", model="scripted/one", timeout=0.3)
        other = ai.request("Hi", model="mock/fast")

    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert other.content


def test_a_plugin_that_fails_to_list_its_models_does_not_prevent_startup() -> None:
    class FailingModels(ScriptedPlugin):
        async def models(self) -> Any:
            raise OSError("no")

    registry = ProviderRegistry([])
    registry.register_provider(FailingModels())
    settings = settings_with(plugins={"providers": ["scripted"]}, providers={"scripted": {"models": ["three"]}})

    with started_gateway(settings, registry) as target, AIManager.gateway(target) as ai:
        assert ai.request("Hi", model="scripted/three").content == "Hello"
