"""`make proto-languages` names what is missing, and fails only if something that it attempted fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


class Clone:
    """A clone on a machine whose only tools are Python and the executables that `install` adds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name in (".ci/languages", "proto", "clients/typescript/src"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "gen"))

    def install(self, name: str, script: str) -> None:
        """Add an executable."""
        executable = self._bin / name
        executable.write_text(f"#!/bin/sh\n{script}\n")
        executable.chmod(0o755)

    def build(self, *languages: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, ".ci/languages", *languages]
        environment = {"PATH": str(self._bin)}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_missing_toolchains_are_named_and_skipped(clone: Clone) -> None:
    done = clone.build("go", "typescript", "rust")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "go: skipped: go not found (install Go 1.26 or newer)",
        "typescript: skipped: npm not found (install Node.js 22 or newer)",
        "rust: skipped: cargo not found (install Rust, see rustup.rs)",
    ]


def test_a_failed_command_is_shown_and_the_other_languages_are_built(clone: Clone) -> None:
    clone.install("go", "echo no network >&2; exit 1")

    done = clone.build("go", "rust")

    assert done.returncode == 1
    assert "go: FAILED: " in done.stdout
    assert "no network" in done.stdout
    assert "rust: skipped: " in done.stdout


def test_check_fails_before_a_language_is_built(clone: Clone) -> None:
    assert clone.build("--check", "go").returncode == 1


def test_an_unknown_language_is_rejected(clone: Clone) -> None:
    done = clone.build("cobol")

    assert done.returncode == 2
    assert "unknown language 'cobol'; choose from python, go, typescript" in done.stderr
