"""`aimanager-server` as a process: without its packages, and without loading what it does not need."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

SERVER = ROOT / "server"


def python(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(SERVER)}, check=False)


def test_without_the_server_packages_one_line_says_what_to_install() -> None:
    done = python("-m", "aimanager_server", options=("-S",))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "aimanager-server: pydantic is missing; install the server with: pip install 'aimanager[server]'\n"
    )


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("errors",), ("config", "--sample")])
def test_what_needs_no_settings_works_without_the_server_packages(arguments: tuple[str, ...]) -> None:
    done = python("-m", "aimanager_server", *arguments, options=("-S",))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["errors"], ["config"], ["serve", "--help"]])
def test_nothing_but_serving_loads_grpc_or_http(arguments: list[str]) -> None:
    script = (
        "import sys; from aimanager_server.commands.main import main\n"
        f"try: main({arguments!r}, {{}})\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'aiohttp', 'httpx', 'asyncio', 'google', 'prometheus_client', 'structlog'}\n"
        "print('loaded:', sorted(heavy & sys.modules.keys()))"
    )

    assert python("-c", script).stdout.endswith("loaded: []\n")


def test_the_arguments_and_variables_of_the_process_are_used_where_none_are_given() -> None:
    done = python("-m", "aimanager_server", "config", "--default-model", "mock/echo")

    assert done.returncode == 0
    assert re.search(r'^default_model = "mock/echo" +# argument$', done.stdout, re.MULTILINE)
