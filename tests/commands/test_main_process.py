"""`aimanager-server` as a process: without its dependencies, and without importing more than it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.support.paths import ROOT

SERVER = ROOT / "server"


def python(
    *arguments: str,
    options: tuple[str, ...] = (),
    program: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    command = [program, *options, *arguments]
    variables = {"PYTHONPATH": str(SERVER), **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def test_without_dependencies_one_line_names_the_package_to_install() -> None:
    done = python("-m", "aimanager_server", options=("-S",))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "aimanager-server: missing package pydantic; install the server with: pip install 'aimanager[server]'\n"
    )


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("errors",), ("config", "--sample")])
def test_commands_that_need_no_settings_work_without_dependencies(arguments: tuple[str, ...]) -> None:
    done = python("-m", "aimanager_server", *arguments, options=("-S",))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["errors"], ["config"], ["serve", "--help"]])
def test_only_serve_imports_grpc_and_http_packages(arguments: list[str]) -> None:
    script = (
        "import sys; from aimanager_server.commands.main import main\n"
        f"try: main({arguments!r}, {{}})\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'httptools', 'httpx', 'asyncio', 'google', 'prometheus_client', 'structlog'}\n"
        "print('loaded:', sorted(heavy & sys.modules.keys()))"
    )

    assert python("-c", script).stdout.endswith("loaded: []\n")


def test_arguments_of_the_process_are_used_by_default() -> None:
    done = python("-m", "aimanager_server", "config", "--default-model", "mock/echo")

    assert done.returncode == 0
    assert re.search(r'^default_model = "mock/echo" +# argument$', done.stdout, re.MULTILINE)


def test_server_started_with_closed_stderr_keeps_its_descriptor_from_sockets() -> None:
    script = (
        "import sys\n"
        "from aimanager_server.commands import serve\n"
        "from aimanager_server.config.loader import ConfigSource\n"
        "from aimanager_server.config.settings import Settings\n"
        "server = {'listen': '192.0.2.1:1', 'allow_anonymous': True, 'metrics_listen': None}\n"
        "status = serve.run(Settings.model_validate({'server': server}), ConfigSource({}, None, {}))\n"
        "print(status, sys.stderr.fileno(), sys.stderr.name)"
    )

    done = python("-c", 'exec "$0" -c "$1" 2>&-', sys.executable, script, program="/bin/sh")

    assert done.stdout == "1 2 /dev/null\n"


def test_variables_of_other_programs_do_not_keep_the_server_from_starting() -> None:
    variables = {"AIMANAGER_TARGET": "localhost:1", "AIMANAGER_TOKEN": "aim_x", "AIMANAGER_LISTEN": ":1"}
    unusable = ("--listen=192.0.2.1:50051", "--allow-anonymous", "--metrics-listen=off")  # ends it after its log began

    checked = python("-m", "aimanager_server", "config", "--check", environment=variables)
    served = python("-m", "aimanager_server", *unusable, environment=variables)

    assert (checked.returncode, checked.stdout) == (0, "The settings are usable.\n")
    assert checked.stderr == (
        "aimanager-server: warning: AIMANAGER_LISTEN is not a setting and is ignored; "
        "did you mean AIMANAGER_SERVER__LISTEN?\n"
    )
    warnings = [line for line in served.stderr.splitlines() if '"level":"warning"' in line]
    assert served.returncode == 1
    assert len(warnings) == 1
    assert warnings[0].endswith(
        '"event":"config.unknown_variable","variable":"AIMANAGER_LISTEN","nearest":"AIMANAGER_SERVER__LISTEN"}'
    )
