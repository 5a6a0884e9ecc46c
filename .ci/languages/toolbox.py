"""Run tools, find them, and keep the package of a language until its inputs change."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "proto"
SOURCES = Path(__file__).parent
BUILD = ROOT / "build/languages"
TOOLS = BUILD / "tools"
CACHES = {"__pycache__", ".mypy_cache", ".ruff_cache"}


class MissingTool(Exception):
    """A tool is not installed; the text says which one, and what provides it."""


class CommandFailed(Exception):
    """A command failed; the text names the command and contains its output."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language and the function that writes its package into a new folder and returns what was done.

    The package is rebuilt if the protos, the sources here or in `inputs`, or the installed `tools` change.
    """

    name: str
    write: Callable[[Path], str]
    tools: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the package is."""
        return BUILD / self.name

    def build(self) -> str:
        """Write the package unless it is up to date, and return what was done. Raises MissingTool or CommandFailed."""
        if self.is_up_to_date():
            return f"{self._stamp.read_text('utf-8').splitlines()[1]} (up to date)"
        self._stamp.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        result = self.write(self.folder)
        self._stamp.write_text(f"{self._fingerprint()}\n{result}\n", "utf-8")
        return result

    def is_up_to_date(self) -> bool:
        """Return whether the package was built from the present inputs with the present tools."""
        return self._stamp.is_file() and self._stamp.read_text("utf-8").startswith(f"{self._fingerprint()}\n")

    @property
    def _stamp(self) -> Path:
        return BUILD / f"{self.name}.stamp"

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in _files((PROTO, SOURCES, *self.inputs)):
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
        for tool in self.tools:
            digest.update(f"{tool} {shutil.which(tool)}\n".encode())
        return digest.hexdigest()


def protos() -> list[str]:
    """Return the .proto files relative to proto/, as protoc takes them."""
    return sorted(path.relative_to(PROTO).as_posix() for path in PROTO.rglob("*.proto"))


def find(tool: str, provided_by: str) -> str:
    """Return the path of an installed tool. Raises MissingTool."""
    path = shutil.which(tool)
    if path is None:
        raise MissingTool(f"{tool} not found ({provided_by})")
    return path


def run(command: Sequence[str | Path], folder: Path = ROOT, environment: Mapping[str, str | Path] | None = None) -> str:
    """Run a command in a folder, with additions to the environment, and return its output. Raises CommandFailed."""
    line = [str(argument) for argument in command]
    variables = {**os.environ, **{name: str(value) for name, value in (environment or {}).items()}}
    done = subprocess.run(
        line, cwd=folder, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(line)}\n{done.stdout}")
    return done.stdout


def version_of(*command: str | Path) -> str:
    """Return the first version number that a command prints."""
    output = run(command)
    match = re.search(r"\d+(?:\.\d+)+", output)
    return match.group() if match else output.strip()


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and CACHES.isdisjoint(file.parts))
