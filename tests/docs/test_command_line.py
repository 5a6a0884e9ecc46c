"""docs/command-line.md: its transcripts come from a terminal of 80 columns, and its options exist."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aimanager.cli import main
from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks, commands
from tests.support.paths import ROOT
from tests.support.terminal import Terminal, plain, run_in_terminal, terminal

RUNS = {
    ("command-line.md", "console"): "test_the_transcripts_are_what_a_terminal_shows",
    ("command-line.md", "text"): "test_the_chat_goes_as_its_transcript",
}
COMMANDS = {'pip install ".[server,cli]"': "tests/docs/test_command_line.py::test_the_extra_is_declared"}

PAGE, README = "command-line.md", ROOT / "README.md"
LATENCY = re.compile(r"· \d+(\.\d+)? m?s$", re.MULTILINE)


def comparable(text: str) -> str:
    return LATENCY.sub("· 1 ms", "\n".join(line.rstrip() for line in text.splitlines())).strip()


@pytest.fixture
def environment(gateway: str, tmp_path: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "AIMANAGER_TARGET": gateway, "XDG_STATE_HOME": str(tmp_path)}


@pytest.mark.parametrize("block", code_blocks(PAGE, "console"), ids=str)
def test_the_transcripts_are_what_a_terminal_shows(block: CodeBlock, environment: dict[str, str]) -> None:
    shown = [(command, run_in_terminal("sh", "-c", command, environment=environment)) for command in commands(block)]

    assert comparable("".join(f"$ {command}\n{done.text}" for command, done in shown)) == comparable(block.text)


@pytest.mark.parametrize("block", [*code_blocks(PAGE, "text"), *code_blocks(README, "text")], ids=str)
def test_the_chat_goes_as_its_transcript(block: CodeBlock, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Three replicas.")
    for chat in block.text.removeprefix("$ ").split("\n$ "):
        command, *lines = chat.splitlines()
        with terminal("sh", "-c", f"cd {tmp_path} && exec {command}", environment=environment) as running:
            follow(running, lines)
            assert running.finish().code == 0

    assert all(len(line) <= 80 for line in plain(block.text).splitlines())
    if "/save chat.md" in block.text:
        assert (tmp_path / "chat.md").read_text().count("## ") == 4


def follow(chat: Terminal, lines: Sequence[str]) -> None:
    """Type what the transcript types, and wait for what it shows."""
    end = 0
    for line in lines:
        if line.startswith("> "):
            end = chat.wait_for(">", end)
            chat.type(f"{line.removeprefix('> ')}\r")
        else:
            end = chat.wait_for(line.partition(" ms")[0].rpartition(" ")[0] if line.endswith(" ms") else line, end)


def test_every_option_of_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ask", "--help"])
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    table = re.findall(r"^\| (`-.*?) \|", (DOCS / PAGE).read_text("utf-8"), re.MULTILINE)

    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(table))) - known == set()


def test_the_extra_is_declared() -> None:
    pyproject = (DOCS.parent / "pyproject.toml").read_text("utf-8")

    assert re.search(r"^cli = \[$", pyproject, re.MULTILINE)
