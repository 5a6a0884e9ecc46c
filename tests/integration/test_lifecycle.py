"""The composition root: startup errors and the quickstart text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aimanager_server import lifecycle
from aimanager_server.app import App
from aimanager_server.commands.quickstart import quickstart_text
from aimanager_server.config.errors import StartupError
from aimanager_server.telemetry.metrics_server import MetricsServer
from tests.support.gateway import FAST_SERVER, settings_with


def test_an_unknown_default_model_prevents_startup() -> None:
    command = (sys.executable, "-m", "aimanager_server", "--default-model", "cluade/latest", "--metrics-listen", "off")

    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert "server.default_model is invalid: Provider 'cluade' not found" in done.stderr


async def test_a_metrics_port_in_use_is_named() -> None:
    async with lifecycle.running_server(settings_with(server={"metrics_listen": "127.0.0.1:0"})):
        pass
    running = App(settings_with())
    async with MetricsServer("127.0.0.1:0", running.state.metrics.registry) as listener:
        settings = settings_with(server={"metrics_listen": f"127.0.0.1:{listener.port}"})

        with pytest.raises(StartupError, match=f"127.0.0.1:{listener.port}"):
            async with lifecycle.running_server(settings):
                pass


def test_the_quickstart_shows_commands_for_this_server() -> None:
    settings = settings_with(server={**FAST_SERVER, "metrics_listen": "127.0.0.1:9464"})

    text = quickstart_text(settings, 4711)

    assert "aimanager ask --target 127.0.0.1:4711" in text
    assert "no API keys found" in text
    assert "curl http://127.0.0.1:9464/metrics" in text


def test_the_quickstart_names_providers_with_keys_but_no_key() -> None:
    text = quickstart_text(settings_with({"ANTHROPIC_API_KEY": "sk-ant-canary"}), 4711)

    assert "API keys found for: claude" in text
    assert "canary" not in text
