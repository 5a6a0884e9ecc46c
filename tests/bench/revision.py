"""The source trees being compared: the working tree, and another commit exported under build/bench/."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.support.paths import ROOT

BUILD = ROOT / "build" / "bench"
SOURCES = ("server", "clients/python")


@dataclass(frozen=True, slots=True)
class Revision:
    """A source tree. `name` is the abbreviated commit, or "working tree"."""

    name: str
    tree: Path

    @property
    def python_path(self) -> str:
        """PYTHONPATH that puts this tree before the one installed in the venv."""
        return os.pathsep.join([*(str(self.tree / source) for source in SOURCES), str(self.packages)])

    @property
    def packages(self) -> Path:
        """Directory of the dependencies of this tree that the venv lacks."""
        return self.tree / ".packages"


WORKING_TREE = Revision("working tree", ROOT)


def export(name: str) -> Revision:
    """Export a commit, with the dependencies that the venv lacks. An exported commit is reused.

    Raises SystemExit if git does not know the commit.
    """
    commit = commit_of(name)
    revision = Revision(commit, BUILD / commit)
    if not revision.tree.exists():
        partial = BUILD / f"{commit}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", str(partial)], input=archive, check=True)
        partial.rename(revision.tree)
    _install_missing(revision)
    return revision


def commit_of(name: str) -> str:
    """Return the abbreviated commit. Raises SystemExit if git does not know it."""
    return _run("git", "rev-parse", "--verify", "--quiet", "--short=12", f"{name}^{{commit}}").strip()


def _install_missing(revision: Revision) -> None:
    """Install what this tree requires and the working tree no longer does, outside the venv."""
    project = tomllib.loads((revision.tree / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    missing = [requirement for requirement in requirements if not _is_installed(requirement)]
    if missing and not revision.packages.exists():
        partial = revision.tree / ".packages.partial"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(partial)]
        locked = revision.tree / ".ci/requirements/server.txt"
        if locked.exists():
            subprocess.run([*pip, "--require-hashes", "-r", str(locked)], check=True)
        else:  # an earlier commit, whose versions have no hashes
            subprocess.run([*pip, "--constraint", str(revision.tree / ".ci/constraints.txt"), *missing], check=True)
        partial.rename(revision.packages)


def _is_installed(requirement: str) -> bool:
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    try:
        metadata.distribution(name.group())
    except metadata.PackageNotFoundError:
        return False
    return True


def _run(*command: str) -> str:
    finished = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if finished.returncode:
        raise SystemExit(f"bench: {' '.join(command)} failed")
    return finished.stdout
