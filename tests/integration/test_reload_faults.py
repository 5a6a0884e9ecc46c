"""Reloads with plug-ins, blocked file systems and bugs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aimanager_server.config.loader import ConfigSource, LoadedSettings
from aimanager_server.providers.plugins.registry import ProviderRegistry
from tests.support.eventually import eventually
from tests.support.plugins import HELLO, ScriptedPlugin
from tests.support.reload import SERVER, live_gateway, with_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "aimanager.toml"


class BlockedSource(ConfigSource):
    """Settings on a file system that does not respond any more."""

    entered = threading.Event()
    unblock = threading.Event()

    def load(self) -> LoadedSettings:
        self.entered.set()
        self.unblock.wait()
        raise OSError


class BrokenSource(ConfigSource):
    """Settings that a bug of the server cannot load."""

    def load(self) -> LoadedSettings:
        raise RecursionError("canary")


async def test_a_blocked_file_system_blocks_neither_calls_nor_the_shutdown(config: Path) -> None:
    async with live_gateway(config, SERVER, source=BlockedSource({}, config, {})) as gateway:
        await eventually(BlockedSource.entered.is_set, True)

        assert await gateway.ask()
    BlockedSource.unblock.set()


async def test_a_bug_while_loading_is_reported_and_calls_continue(config: Path) -> None:
    async with live_gateway(config, SERVER, source=BrokenSource({}, config, {})) as gateway:
        for _ in range(2):
            gateway.reloader.request()
            entry = await gateway.outcome()

            assert entry["problems"] == ["internal error: RecursionError"]
        assert await gateway.ask()


async def test_a_plugin_is_opened_again_with_its_new_settings(config: Path) -> None:
    registry = ProviderRegistry()
    registry.register_provider(ScriptedPlugin(*HELLO))
    text = '[plugins]\nproviders = ["scripted"]\n[providers.scripted]\nmax_idle_connections = 1\n' + SERVER
    async with live_gateway(config, text, registry=registry) as gateway:
        before = await gateway.ask(model="scripted/one")
        previous = gateway.app.providers["scripted"]

        await gateway.reload(with_settings(text, max_idle_connections="2"))

        assert await gateway.ask(model="scripted/one") == before == "Hello"
        assert gateway.app.providers["scripted"] is not previous
        await eventually(lambda: len(gateway.app.retired), 0)
        await eventually(lambda: len(gateway.entries("model_list.updated")), 2)


async def test_a_signal_during_a_reload_is_not_lost(config: Path) -> None:
    async with live_gateway(config, SERVER) as gateway:
        for limit in range(1, 30):
            gateway.write(SERVER + f"max_in_flight = {limit}\n")
            gateway.reloader.request()

        await eventually(lambda: gateway.app.state.settings.server.max_in_flight, 29)
