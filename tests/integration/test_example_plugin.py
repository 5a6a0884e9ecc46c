"""The example plug-in, installed as a user would, and a server that loads it because its operator said so."""

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
from tests.support.paths import ROOT

HERE = ROOT / "tests"
SOURCES = [str(HERE.parent / "server"), str(HERE.parent / "clients/python")]

CONFIG = """
[server]
listen = "127.0.0.1:0"
metrics_listen = "off"
drain_notice_seconds = 0.0

[plugins]
providers = [{names}]
"""
OPTIONS = "\n[providers.shout.options]\nmarks = 2\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, built and installed by pip."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(target), str(HERE / "example_plugin")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return target


def environment(site: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(site), *SOURCES])}


@contextmanager
def serving(site: Path, config: Path) -> Iterator[subprocess.Popen[str]]:
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


def written(folder: Path, names: str, more: str = "") -> Path:
    config = folder / "aimanager.toml"
    config.write_text(CONFIG.format(names=names) + more)
    return config


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "server.started":
            return int(event["port"])
    raise AssertionError("the server did not start")


@contextmanager
def asking(site: Path, config: Path) -> Iterator[AIManager]:
    with serving(site, config) as process, AIManager.gateway(f"127.0.0.1:{port_of(process)}") as ai:
        yield ai


def test_a_package_adds_a_provider_without_a_line_of_ours(site: Path, tmp_path: Path) -> None:
    with asking(site, written(tmp_path, '"shout"', OPTIONS)) as ai:
        whole = ai.request("hello there", model="shout/louder")
        streamed = list(ai.stream("hello there", model="shout/loud").text)
        models = ai.models.list("shout")
        with pytest.raises(InvalidModelError):
            ai.request("hello", model="shout/loudest")

    assert (whole.content, whole.usage.total_tokens, whole.cost) == ("HELLO THERE!!", 4, None)
    assert "".join(streamed) == "HELLO THERE"
    assert [model.id for model in models] == ["shout/loud", "shout/louder"]
    assert models[0].supports("streaming")
    assert not models[0].supports("tool_calling")


def test_a_package_that_nobody_named_is_not_loaded(site: Path, tmp_path: Path) -> None:
    with asking(site, written(tmp_path, "")) as ai, pytest.raises(InvalidProviderError):
        ai.request("hello", model="shout/loud")


def test_a_name_that_no_package_has_keeps_the_server_from_starting(site: Path, tmp_path: Path) -> None:
    with serving(site, written(tmp_path, '"shuot"')) as process:
        said, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert "plug-in 'shuot': no installed package has such a plug-in; installed are: shout" in said


def test_its_author_can_prove_it(site: Path) -> None:
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
