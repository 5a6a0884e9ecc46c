"""docs/getting-started.md: follow the page from top to bottom, as a newcomer does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from aimanager_server.config.loader import load
from tests.docs.test_code_blocks import with_existing_files
from tests.support.aimock import aimock, reason_to_skip
from tests.support.doc_blocks import DOCS, LOCAL_TARGET, CodeBlock, code_blocks, commands
from tests.support.paths import ROOT

RUNS = {
    ("getting-started.md", "sh"): "test_the_page_works_without_a_key",
    ("getting-started.md", "console"): "test_the_page_works_without_a_key",
    ("getting-started.md", "python"): "test_the_page_works_without_a_key",
    ("getting-started.md", "toml"): "test_toml_block_is_a_valid_config_file",
    ("getting-started.md", "text"): "test_the_demo_prints_what_the_page_shows",
}

PAGE = "getting-started.md"
BLOCKS = code_blocks(PAGE)
LINES = (DOCS / PAGE).read_text("utf-8").splitlines()
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
REAL_PROVIDER = "## Use a real provider"
INSTALLATION = ("make demo", "python3 -m venv .venv", '.venv/bin/pip install ".[server]"', ". .venv/bin/activate")
"""Commands that install the software that this test uses, or start the demo."""
SCRAPE = "curl http://127.0.0.1:9464/metrics"
VARIABLE = {r"127\.0\.0\.1:\d+": LOCAL_TARGET, r"\b\d+(\.\d+)? ms\b": "1 ms"}
"""What differs from run to run."""


def test_the_page_works_without_a_key(tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path, environment(tmp_path))

    with newcomer:
        for block in BLOCKS:
            if section(block) != REAL_PROVIDER:
                newcomer.follow(block)

    assert newcomer.servers_started == 2


@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
def test_the_page_works_with_a_key(tmp_path: Path) -> None:
    (program,) = code_blocks(PAGE, "python")
    with (
        aimock() as upstream,
        Newcomer(tmp_path, environment(tmp_path) | {"ANTHROPIC_BASE_URL": upstream.url}) as newcomer,
    ):
        newcomer.follow(program)
        for block in BLOCKS:
            if section(block) == REAL_PROVIDER:
                newcomer.follow(block)
        requests = [(request["method"], request["path"]) for request in upstream.requests()]

    assert newcomer.outputs["python hello.py"].startswith("Because air scatters blue light more than red.\nclaude/")
    assert requests.count(("POST", "/v1/messages")) == 2


def test_the_demo_prints_what_the_page_shows(tmp_path: Path) -> None:
    (shown,) = code_blocks(PAGE, "text")
    demo = [sys.executable, "-m", "aimanager_server.commands.demo"]

    done = subprocess.run(demo, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False)

    assert f"\t@$(PY) {shlex.join(demo[1:])} $(ARGS)" in MAKEFILE
    assert (done.returncode, done.stderr) == (0, "")
    assert comparable(shown.text) in comparable(done.stdout)
    assert "attempts: 1" in done.stdout
    assert "Provider health" in done.stdout


@pytest.mark.parametrize("block", code_blocks(PAGE, "toml"), ids=str)
def test_toml_block_is_a_valid_config_file(block: CodeBlock, tmp_path: Path) -> None:
    load(with_existing_files(tomllib.loads(block.text), tmp_path), None, {})


class Newcomer:
    """Does what each block says, in a folder of its own. `outputs` holds what the commands printed, by command."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment | {"XDG_STATE_HOME": str(folder / "state")}
        self._server: subprocess.Popen[str] | None = None
        self._ports: dict[str, int] = {}
        self.servers_started = 0
        self.outputs: dict[str, str] = {}

    def follow(self, block: CodeBlock) -> None:
        """Run the commands of a block, compare the output of a transcript, or save a file."""
        match block.language:
            case "python":
                (self._folder / "hello.py").write_text(block.text)
            case "toml" if "callers" not in block.text:
                (self._folder / "aimanager.toml").write_text(block.text)
            case "console":
                printed = "".join(f"$ {command}\n{self._run(command)}" for command in commands(block))
                assert comparable(printed) == comparable(block.text)
            case "sh":
                for command in commands(block):
                    self.outputs[command] = self._follow_command(command)

    def _follow_command(self, command: str) -> str:
        if command in INSTALLATION:
            return ""
        if command == "make run":
            self._start_server()
            return ""
        if command == SCRAPE:
            return self._scrape()
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self._environment[name] = value
            return ""
        return self._run(command)

    def _run(self, command: str) -> str:
        """Run a command as the shell of the newcomer does, and return its standard output and error."""
        program = self._folder / "hello.py"
        if command == f"python {program.name}":
            program.write_text(program.read_text().replace(LOCAL_TARGET, self._target))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        client = {"PATH": path, "AIMANAGER_TARGET": self._target} if "-server" not in command else {"PATH": path}
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            cwd=self._folder,
            env=self._environment | client,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
        expected = 1 if "[[error:" in command else 0
        assert done.returncode == expected, f"{command}: {done.stdout}"
        return done.stdout

    def _start_server(self) -> None:
        """Run the recipe of `make run` on free ports, instead of the server that runs."""
        (recipe,) = re.findall(r"^run:.*\n\t@\$\(PY\) (.*) \$\(ARGS\)$", MAKEFILE, re.MULTILINE)
        self._stop_server()
        ports = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--set", "server.drain_delay_seconds=0"]
        self._server = subprocess.Popen(
            [sys.executable, *shlex.split(recipe), *ports],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._server.stderr is not None
        events = (json.loads(next(iter(self._server.stderr.readline, ""))) for _ in range(2))
        self._ports = {event["event"]: event["port"] for event in events}
        self.servers_started += 1

    def _stop_server(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.communicate(timeout=30)

    def _scrape(self) -> str:
        url = f"http://127.0.0.1:{self._ports['metrics_server.started']}/metrics"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as response:
            text: str = response.read().decode()
        assert "aimanager_requests_total" in text
        return text

    @property
    def _target(self) -> str:
        return f"127.0.0.1:{self._ports['server.started']}" if self._ports else LOCAL_TARGET

    def __enter__(self) -> Newcomer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_server()


def environment(home: Path) -> dict[str, str]:
    """Return the environment without settings of the gateway and keys of providers; `home` has the user's state."""
    ours = re.compile(r"AIMANAGER_.*|.*_API_KEY|.*_BASE_URL|.*_ENDPOINT")
    others = {name: value for name, value in os.environ.items() if not ours.fullmatch(name)}
    return others | {"XDG_STATE_HOME": str(home)}


def section(block: CodeBlock) -> str:
    """Return the heading above a block."""
    return next(line for line in reversed(LINES[: block.line]) if line.startswith("## "))


def comparable(text: str) -> str:
    """Return the text without what differs from run to run."""
    for pattern, replacement in VARIABLE.items():
        text = re.sub(pattern, replacement, text)
    return text
