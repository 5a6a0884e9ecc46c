"""A reload creates the extensions whose settings changed again, and closes what is not used any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest

from aimanager_server.extensions import ExtensionCall, ExtensionRequest, FeatureManager, Message, Text
from aimanager_server.extensions.registry import ENTRY_POINT_GROUP
from tests.support.eventually import eventually
from tests.support.reload import SERVER, live_gateway
from tests.support.rpc import text_of


class Prefixing:
    """Adds the option `prefix` to the last message, and can hold a call until it is released."""

    created: ClassVar[list[Prefixing]] = []
    name = "prefixing"
    api_version = 1

    def __init__(self, options: dict[str, Any]) -> None:
        self.prefix = options["prefix"]
        self.release = asyncio.Event()
        self.calls = 0
        self.is_closed = False
        self.created.append(self)

    async def on_request(self, call: ExtensionCall, request: ExtensionRequest) -> ExtensionRequest:
        self.calls += 1
        await self.release.wait()
        assert not self.is_closed
        (message,) = request.messages
        return replace(request, messages=(Message(message.role, (Text(f"{self.prefix} Hi"),)),))

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.fixture
def manager() -> Iterator[FeatureManager]:
    Prefixing.created.clear()
    yield FeatureManager([EntryPoint("prefixing", f"{__name__}:Prefixing", ENTRY_POINT_GROUP)])
    Prefixing.created.clear()


def config_with(prefix: str, more: str = "") -> str:
    options = f'options = {{ prefix = "{prefix}" }}\ntimeout_seconds = 30.0\n'
    return f'{SERVER}{more}[extensions]\nenabled = ["prefixing"]\n[extensions.settings.prefixing]\n{options}'


async def test_a_changed_extension_is_created_again_and_the_old_one_closed_after_its_calls(
    tmp_path: Path, manager: FeatureManager
) -> None:
    config = tmp_path / "aimanager.toml"
    async with live_gateway(config, config_with("one"), features=manager) as gateway:
        (first,) = Prefixing.created
        in_flight = gateway.generate(model="mock/mock-large")
        await eventually(lambda: first.calls, 1)

        entry = await gateway.reload(config_with("two"))
        second = Prefixing.created[-1]
        second.release.set()
        answer = text_of(await gateway.generate(model="mock/mock-large"))
        was_closed_early = first.is_closed
        first.release.set()
        earlier_answer = text_of(await in_flight)
        await eventually(lambda: first.is_closed, True)

        assert not second.is_closed

    assert entry["changes"] == ["extensions.settings.prefixing.options: changed"]
    assert "two Hi" in answer
    assert "one Hi" in earlier_answer
    assert not was_closed_early
    assert second.is_closed
    assert len(Prefixing.created) == 2


async def test_an_unchanged_extension_is_kept_and_a_removed_one_closed(tmp_path: Path, manager: FeatureManager) -> None:
    config = tmp_path / "aimanager.toml"
    async with live_gateway(config, config_with("one"), features=manager) as gateway:
        (extension,) = Prefixing.created
        extension.release.set()

        await gateway.reload(config_with("one", "[retry]\nmax_attempts = 2\n"))
        is_kept = not extension.is_closed and len(Prefixing.created) == 1
        await gateway.reload(SERVER)
        await eventually(lambda: extension.is_closed, True)
        answer = text_of(await gateway.generate(model="mock/mock-large"))

    assert is_kept
    assert "one" not in answer.partition("You said")[2]


async def test_an_unusable_extension_keeps_the_configuration_in_use(tmp_path: Path, manager: FeatureManager) -> None:
    config = tmp_path / "aimanager.toml"
    async with live_gateway(config, SERVER, features=manager) as gateway:
        entry = await gateway.reload(f'{SERVER}[extensions]\nenabled = ["prefixed"]\n')
        await gateway.ask(model="mock/mock-large")

    assert entry["event"] == "config.reload_failed"
    assert "did you mean 'prefixing'?" in entry["problems"][0]
