"""The composition root: what it refuses to start with, and what it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aimanager_server import app
from aimanager_server.commands.quickstart import hints_for
from aimanager_server.rpc.server import CannotListen
from aimanager_server.telemetry.metrics_server import MetricsListener
from tests.support.gateway import QUICK, settings_with


def test_a_default_model_that_does_not_exist_stops_the_start() -> None:
    command = (sys.executable, "-m", "aimanager_server", "--default-model", "cluade/latest", "--metrics-listen", "off")

    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert "server.default_model cannot be used: There is no provider 'cluade'" in done.stderr


async def test_a_metrics_port_in_use_is_named() -> None:
    async with app.running(settings_with(server={"metrics_listen": "127.0.0.1:0"})):
        pass
    running = app.App(settings_with())
    with MetricsListener("127.0.0.1:0", running.metrics.registry) as listener:
        settings = settings_with(server={"metrics_listen": f"127.0.0.1:{listener.port}"})

        with pytest.raises(CannotListen, match=f"127.0.0.1:{listener.port}"):
            async with app.running(settings):
                pass


def test_hints_name_what_works_here() -> None:
    settings = settings_with(server={**QUICK, "metrics_listen": "127.0.0.1:9464"})

    hints = hints_for(settings, 4711)

    assert "aimanager ask --target 127.0.0.1:4711" in hints
    assert "no provider keys found" in hints
    assert "curl http://127.0.0.1:9464/metrics" in hints


def test_hints_say_who_has_keys() -> None:
    hints = hints_for(settings_with({"ANTHROPIC_API_KEY": "sk-ant-canary"}), 4711)

    assert "keys for: claude" in hints
    assert "canary" not in hints
