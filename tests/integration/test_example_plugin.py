"""The example plug-in, installed by pip, and a server whose configuration names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aimanager import AIManager, InvalidModelError, InvalidProviderError
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

PACKAGE = ROOT / "tests" / "example_plugin"
SOURCES = [str(ROOT / "server"), str(ROOT / "clients" / "python")]
CONFIG = """
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
drain_delay_seconds = 0.0

[plugins]
providers = ["{name}"]

[providers.{name}.options]
marks = 2
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, built and installed by pip."""
    return installed(PACKAGE, tmp_path_factory.mktemp("site"))


def installed(package: Path, folder: Path) -> Path:
    """Build a package, install it into the folder, and return that."""
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(package)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


def environment(site: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return {**inherited, "PYTHONPATH": os.pathsep.join([str(site), *SOURCES])}


@contextmanager
def server_process(site: Path, folder: Path, text: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server with this config file, and the packages of a folder, until the block ends."""
    config = folder / "aimanager.toml"
    config.write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "aimanager_server", "serve", "--config", str(config)],
        env=environment(site),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def bound_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        entry = json.loads(line)
        if entry["event"] == "server.started":
            return int(entry["port"])
    raise AssertionError("the server did not start")


def test_an_installed_package_adds_a_provider(site: Path, tmp_path: Path) -> None:
    with (
        server_process(site, tmp_path, CONFIG.format(name="shout")) as process,
        AIManager.gateway(f"127.0.0.1:{bound_port(process)}") as ai,
    ):
        response = ai.request("hello there", model="shout/louder")
        streamed = list(ai.stream("hello there", model="shout/loud").text)
        models = ai.models.list("shout")
        with pytest.raises(InvalidModelError):
            ai.request("hello", model="shout/loudest")

    assert (response.content, response.usage.total_tokens, response.cost) == ("HELLO THERE!!", 4, None)
    assert "".join(streamed) == "HELLO THERE"
    assert [model.id for model in models] == ["shout/loud", "shout/louder"]
    assert models[0].supports("streaming")
    assert not models[0].supports("tool_calling")


def test_an_installed_package_is_not_loaded_unless_the_configuration_names_it(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))

    with (
        started_gateway(settings_with()) as target,
        AIManager.gateway(target) as ai,
        pytest.raises(InvalidProviderError),
    ):
        ai.request("hello", model="shout/loud")


def test_an_unknown_plugin_prevents_startup(site: Path, tmp_path: Path) -> None:
    with server_process(site, tmp_path, CONFIG.format(name="shuot")) as process:
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "plug-in 'shuot': not found in any installed package; installed plug-ins: shout" in output


def test_the_author_can_check_the_package(site: Path) -> None:
    script = (
        "import asyncio\n"
        "from aimanager_server.testing import check_provider\n"
        "from aimanager_shout import Shout\n"
        "asyncio.run(check_provider(Shout(), model='louder'))\n"
        "print('ready')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(site), capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stdout, done.stderr) == ("ready\n", "")
