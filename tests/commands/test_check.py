"""`aimanager-server config --check` rejects what `serve` rejects, with the same message and status."""

from __future__ import annotations

import ast
import asyncio
import logging
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from aimanager_server.commands.main import main
from aimanager_server.commands.serve import startup_errors
from aimanager_server.config.errors import SettingsError, StartupError
from aimanager_server.config.loader import ConfigSource, load
from aimanager_server.config.settings import Settings
from aimanager_server.lifecycle import check_startup, running_server
from tests.support.paths import ROOT
from tests.support.startup_cases import FREE, startup_cases

PACKAGE = ROOT / "server/aimanager_server"
RAISED_ELSEWHERE = {
    ("commands/storage.py", "_reencrypt"),  # by a command that is not the server
    ("commands/storage.py", "_require_readable"),
    ("extensions/registry.py", "register_extension"),  # by code that embeds the server
    ("providers/plugins/registry.py", "register_provider"),  # by code that embeds the server
    ("providers/plugins/registry.py", "get_provider"),
    ("reload.py", "_check_not_emptied"),  # only while the server runs
    ("rpc/tls.py", "_configuration"),  # TLS files that change while they are read
    ("rpc/tls.py", "_read"),  # a TLS file that disappears after the settings were read
    ("rpc/server.py", "_bind"),  # an address in use
    ("storage/opening.py", "open_storage"),  # a package that is not installed
    ("storage/opening.py", "_startup_errors"),  # a database that cannot be used
    ("storage/sql/schema.py", "check_version"),
    ("storage/sql/schema.py", "_migrate"),
    ("telemetry/metrics_server.py", "__aenter__"),
}
"""Functions whose errors no config file causes."""


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def serve(settings: Settings, source: ConfigSource, quickstart: bool) -> int:
    """Start the server as `serve` does, and stop it."""

    async def start() -> None:
        async with running_server(settings):
            pass

    with startup_errors() as status:
        asyncio.run(start())
    return status.code


def test_check_and_serve_reject_the_same_settings_with_the_same_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    different = []
    for reason, text in {**startup_cases(tmp_path), "none": FREE.encode()}.items():
        config = tmp_path / "aimanager.toml"
        config.write_bytes(text)

        checked = main(["config", "--check", "--config", str(config)], {}), capsys.readouterr().err
        served = main(["serve", "--config", str(config)], {}, serve), capsys.readouterr().err

        if checked != served or (checked[0] == 0) != (reason == "none"):
            different.append((reason, checked, served))

    assert different == []


def test_every_error_of_startup_is_checked(tmp_path: Path) -> None:
    raised = {raising_function(tmp_path, text) for text in startup_cases(tmp_path).values()}

    assert raised | RAISED_ELSEWHERE == set(raising_functions())


def raising_function(folder: Path, text: bytes) -> tuple[str, str]:
    """Return the module and the function that reject a config file."""
    config = folder / "aimanager.toml"
    config.write_bytes(text)
    try:
        asyncio.run(check_startup(load({}, config, {}).settings))
    except (SettingsError, StartupError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return Path(frame.filename).relative_to(PACKAGE).as_posix(), frame.name
    raise AssertionError(text.decode())


def raising_functions() -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each function of the server that raises an error of startup."""
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                raises = (node for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc)
                if any(_name(node) in ("SettingsError", "StartupError", "_cannot_listen") for node in raises):
                    yield path.relative_to(PACKAGE).as_posix(), function.name


def _name(node: ast.Raise) -> str:
    called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return called.id if isinstance(called, ast.Name) else ""


def test_usable_settings_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "aimanager.toml"
    config.write_text(FREE)

    code = main(["config", "--check", "--config", str(config)], {})

    assert (code, capsys.readouterr().out) == (0, "The settings are usable.\n")


def test_an_address_in_use_is_usable(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        arguments = [f"--listen=127.0.0.1:{port}", "--health-listen=off", "--metrics-listen=off", "--config="]

        checked = main(["config", "--check", *arguments], {})
        served = main(["serve", *arguments], {}, serve)

    assert (checked, served) == (0, 1)
    assert f"'127.0.0.1:{port}'" in capsys.readouterr().err
