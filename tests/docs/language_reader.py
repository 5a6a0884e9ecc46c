"""Follow the sections of docs/languages.md as a reader does: run the commands and save the programs, in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.doc_blocks import DOCS, CodeBlock, code_blocks
from tests.support.paths import ROOT

PAGE = DOCS / "languages.md"
LANGUAGES = ROOT / "build/languages"
ALL_EXAMPLES = "ALL_LANGUAGE_EXAMPLES"
"""Environment variable, set by `make proto-languages`, that makes the slow examples run."""

FILES = {
    "go": "main.go",
    "ts": "stream.ts",
    "java": "src/main/java/Stream.java",
    "toml": "Cargo.toml",
    "rust": "src/main.rs",
    "yaml": "buf.gen.yaml",
}
"""The file in which a block is saved, by language. The page names it before the block."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


class Reader:
    """A reader with a clone, whose build outputs are those of this repository, and with nothing beside it.

    `folder` is the present folder, at first the clone. `environment` is added to that of this process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        clone = folder / "aimanager"
        clone.mkdir()
        for name in ("build", "clients"):
            (clone / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "proto", clone / "proto")
        self.folder = clone
        tools = [str(Path(sys.executable).parent), str(LANGUAGES / "tools/bin")]
        self._environment = {
            **os.environ,
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "GOBIN": str(LANGUAGES / "tools/bin"),
            "CARGO_TARGET_DIR": str(LANGUAGES / "cargo-target"),
            "npm_config_prefer_offline": "true",
            **environment,
        }

    def follow(self, heading: str, replacements: Mapping[str, str] | None = None) -> list[str]:
        """Follow a section and return the output of each sh block. `replacements` apply to its commands."""
        outputs = []
        for block in blocks_below(heading):
            if block.language != "sh":
                file = self.folder / FILES[block.language]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, "utf-8")
                continue
            text = block.text
            for old, new in (replacements or {}).items():
                text = text.replace(old, new)
            outputs.append(self._run_block(text))
        return outputs

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> Output:
        """Run a command in the present folder."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self._environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the present folder; its output is piped."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _run_block(self, text: str) -> str:
        """Run the commands of a block, and stay in the folder to which they change."""
        marker = "present folder: "
        done = self.run("sh", "-ec", f"{text}\necho '{marker}'$PWD")
        assert done.code == 0, f"{text}\n{done.stdout}{done.stderr}"
        output, _, folder = done.stdout.rpartition(marker)
        self.folder = Path(folder.strip())
        return output


def blocks_below(heading: str) -> list[CodeBlock]:
    """Return the code blocks of a section of the page, whose heading has level 2."""
    headings = {
        match[1]: number
        for number, line in enumerate(PAGE.read_text("utf-8").splitlines(), start=1)
        if (match := re.fullmatch("## (.+)", line))
    }
    start = headings[heading]
    end = min((line for line in headings.values() if line > start), default=sys.maxsize)
    return [block for block in code_blocks(PAGE) if start < block.line < end]


def require(language: str, *tools: str, slow: bool = False) -> None:
    """Skip the test unless the tools are installed, and the stubs of the language are built and up to date."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if slow and ALL_EXAMPLES not in os.environ:
        pytest.skip("slow: 'make proto-languages' runs it")
    check = [sys.executable, str(ROOT / ".ci/languages"), "--check", language]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        pytest.skip(f"the stubs for {language} are missing or out of date: run 'make proto-languages'")
