"""`make demo` and the other targets that install show progress, and pip's output if it fails."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.terminal import run_in_terminal

COMMAND = (sys.executable, str(ROOT / ".ci/pip_progress.py"), "pip", "install", "--no-index", "--no-deps")
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    for name in ("first", "second"):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", METADATA.format(name=name))
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", WHEEL)
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return tmp_path


def test_progress_is_shown(wheels: Path) -> None:
    arguments = (*COMMAND, "--find-links", str(wheels), "--target", str(wheels / "out"), "first", "second")

    piped = subprocess.run(arguments, check=True, capture_output=True, text=True)
    shown = run_in_terminal(*arguments, "--upgrade")

    assert piped.stdout == "  1 packages · found first-1.0-py3-none-any.whl\n  2 packages · installing 2 packages\n"
    assert "  2 packages · found second-1.0-py3-none-any.whl" in shown.output
    assert (wheels / "out/second.py").exists()


def test_a_failure_shows_what_pip_said(wheels: Path) -> None:
    failed = subprocess.run(
        (*COMMAND, "--find-links", str(wheels), "third"), check=False, capture_output=True, text=True
    )

    assert failed.returncode == 1
    assert "No matching distribution found for third" in failed.stderr
