"""Which plug-ins are let in, and what is said of those that are not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest

from aimanager import AIError, AIManager, InvalidProviderError, ProviderError
from aimanager_server.config.errors import SettingsError
from aimanager_server.providers.plugins.registry import GROUP, ProviderRegistry
from tests.support.gateway import served, settings_with
from tests.support.plugins import Told, blocking, raising


class Named(Told):
    def __init__(self, name: Any = "told", version: Any = 1, *steps: Any) -> None:
        super().__init__(*steps)
        self.name, self.api_version = name, version


class Deaf:
    name = "deaf"
    api_version = 1


class Hasty(Told):
    def models(self) -> Any:
        return ["one"]


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def problems(caught: pytest.ExceptionInfo[SettingsError]) -> list[str]:
    return [problem.text for problem in caught.value.problems]


def test_a_plug_in_is_registered_and_found_by_name() -> None:
    registry, plugin = ProviderRegistry([]), Named("acme")

    registry.register_provider(plugin)

    assert registry.get_provider("acme") is plugin
    assert registry.load(["acme"]) == {"acme": plugin}


def test_one_that_is_not_there_is_named_beside_those_that_are() -> None:
    registry = ProviderRegistry([entry("shout", "aimanager_shout:Shout")])
    registry.register_provider(Named("acme"))

    with pytest.raises(SettingsError, match="plug-in 'acne': is not registered; there are: acme"):
        registry.get_provider("acne")
    with pytest.raises(SettingsError, match="no installed package has such a plug-in; installed are: shout"):
        registry.load(["acme", "acne"])


@pytest.mark.parametrize(
    ("plugin", "found"),
    [
        (Named("acme", 2), ["its api_version is 2; this server speaks version 1"]),
        (Named("acme", None), ["its api_version is None; this server speaks version 1"]),
        (Named("Acme Inc"), ["its name is not 1 to 63 lower-case letters, digits, - and _"]),
        (Named(["acme"]), ["its name is not 1 to 63 lower-case letters, digits, - and _"]),
        (Named("claude"), ["it has the name of a provider that comes with the server"]),
        (Named("taken"), ["its name is taken by another plug-in"]),
        (Deaf(), ["it has no method open()", "it has no method models()", "it has no method capabilities()"]),
        (Hasty(), ["its method models() is not async"]),
    ],
)
def test_what_is_no_plug_in_is_told_why(plugin: Any, found: list[str]) -> None:
    registry = ProviderRegistry([])
    registry.register_provider(Named("taken"))

    with pytest.raises(SettingsError) as caught:
        registry.register_provider(plugin)

    assert [text.partition(": ")[2] for text in problems(caught)] == found


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A folder whose modules can be imported, and are forgotten afterwards."""
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


GOOD = "from plugin_world import Told\nclass Plugin(Told):\n    name = 'acme'\nplugin = Plugin()\n"


@pytest.mark.parametrize("value", ["acme_one:Plugin", "acme_one:plugin"])
def test_an_entry_point_is_a_plug_in_or_a_class_of_one(package: Path, value: str) -> None:
    (package / "acme_one.py").write_text(GOOD)

    loaded = ProviderRegistry([entry("acme", value)]).load(["acme"])

    assert loaded["acme"].name == "acme"


@pytest.mark.parametrize(
    ("source", "name", "found"),
    [
        ("raise ValueError('broken')", "acme", "cannot be loaded from acme_two:Plugin: ValueError: broken"),
        ("import nothing_of_the_kind", "acme", "cannot be loaded from acme_two:Plugin: ModuleNotFoundError"),
        ("pass", "acme", "cannot be loaded from acme_two:Plugin: AttributeError"),
        (GOOD, "other", "it calls itself 'acme'; accepted is the name of its entry point (acme_two:Plugin)"),
        (GOOD.replace("    name", "    api_version = 9\n    name"), "acme", "its api_version is 9"),
    ],
)
def test_an_entry_point_that_is_none_is_told_why(package: Path, source: str, name: str, found: str) -> None:
    (package / "acme_two.py").write_text(source)

    with pytest.raises(SettingsError) as caught:
        ProviderRegistry([entry(name, "acme_two:Plugin")]).load([name])

    assert found in problems(caught)[0]


def test_nothing_is_imported_that_nobody_named(package: Path) -> None:
    (package / "acme_three.py").write_text("raise SystemExit")

    assert ProviderRegistry([entry("acme", "acme_three:Plugin")]).load([]) == {}
    assert "acme_three" not in sys.modules


def test_of_two_packages_with_one_name_neither_is_taken(tmp_path: Path) -> None:
    for name in ("one", "two"):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\nacme = nowhere:Plugin\n")
    found = [point for installed in distributions(path=[str(tmp_path)]) for point in installed.entry_points]

    with pytest.raises(SettingsError) as caught:
        ProviderRegistry(found).load(["acme"])

    assert "several installed packages have one: " in problems(caught)[0]
    assert "one 1" in problems(caught)[0]
    assert "two 1" in problems(caught)[0]


def test_a_registered_plug_in_answers_through_the_whole_gateway_once_the_operator_names_it() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(Told())

    with served(settings_with(plugins={"providers": ["told"]}), registry) as target, AIManager.gateway(target) as ai:
        answer = ai.request("Hi", model="told/one")
        streamed = "".join(ai.stream("Hi", model="told/two").text)
        models = {model.id: model for model in ai.models.list("told")}

    assert (answer.content, answer.usage.total_tokens, answer.metadata.provider) == ("Hello", 5, "told")
    assert streamed == "Hello"
    assert models["told/one"].capabilities == {"streaming": "native"}
    assert models["told/one"].available


def test_a_registered_plug_in_that_the_operator_did_not_name_is_not_there() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(Told())

    with (
        served(settings_with(), registry) as target,
        AIManager.gateway(target) as ai,
        pytest.raises(InvalidProviderError),
    ):
        ai.request("Hi", model="told/one")


def test_one_that_fails_opens_its_circuit_and_harms_nobody_else() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(Told(raising(ValueError("canary"))))
    settings = settings_with(plugins={"providers": ["told"]}, retry={"attempts": 1}, breaker={"failure_threshold": 2})
    failures: list[str] = []

    with served(settings, registry) as target, AIManager.gateway(target) as ai:
        for _ in range(3):
            with pytest.raises(ProviderError) as caught:
                ai.request("Hi", model="told/one")
            failures.append(caught.value.reason)
            assert "canary" not in str(caught.value)
        other = ai.request("Hi", model="mock/fast")
        states = {health.provider: health.status for health in ai.health.list()}

    assert failures == ["PROVIDER_ERROR", "PROVIDER_ERROR", "CIRCUIT_OPEN"]
    assert (bool(other.content), states["told"]) == (True, "DOWN")


def test_while_one_blocks_others_are_answered() -> None:
    registry = ProviderRegistry([])
    registry.register_provider(Told(blocking))

    with served(settings_with(plugins={"providers": ["told"]}), registry) as target, AIManager.gateway(target) as ai:
        with pytest.raises(AIError) as caught:
            ai.request("Hi", model="told/one", timeout=0.3)
        other = ai.request("Hi", model="mock/fast")

    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert other.content


def test_a_plug_in_that_cannot_list_its_models_keeps_nobody_from_starting() -> None:
    class Shy(Told):
        async def models(self) -> Any:
            raise OSError("no")

    registry = ProviderRegistry([])
    registry.register_provider(Shy())
    settings = settings_with(plugins={"providers": ["told"]}, providers={"told": {"models": ["three"]}})

    with served(settings, registry) as target, AIManager.gateway(target) as ai:
        assert ai.request("Hi", model="told/three").content == "Hello"
