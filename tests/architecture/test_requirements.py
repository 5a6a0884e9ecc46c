"""Everything that is installed is locked: exact versions with hashes, which satisfy what pyproject.toml declares."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

FOLDER = ROOT / ".ci/requirements"
SETS = ("dev", "server", "build", "floor", "protoc", "lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
SERVER = [*PROJECT["project"]["dependencies"], *EXTRAS["server"]]
DECLARED = {
    "dev": [*SERVER, *EXTRAS["dev"][1:], *PROJECT["build-system"]["requires"]],
    "server": SERVER,
    "build": PROJECT["build-system"]["requires"],
    "floor": [*SERVER, *PROJECT["build-system"]["requires"]],
    "protoc": [],
    "lock": [],
}
NODE_LOCKS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (ROOT / "tests/aimock", ROOT / "clients/typescript")
    for path in folder.glob("package-lock.json")
)


def entries(name: str) -> Iterator[str]:
    """Yield the entries of a locked set: a requirement and its options."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (FOLDER / f"{name}.txt").read_text("utf-8"))
    yield from text.replace("\\\n", " ").splitlines()


def pins(name: str) -> dict[str, Requirement]:
    """Return the packages of a locked set."""
    parsed = (Requirement(entry.partition(" --hash=")[0]) for entry in entries(name))
    return {canonicalize_name(pin.name): pin for pin in parsed}


def versions(name: str) -> dict[str, str]:
    """Return the version of each package of a locked set."""
    return {package: str(pin.specifier).removeprefix("==") for package, pin in pins(name).items()}


def declared(file: Path) -> list[Requirement]:
    """Return the requirements that a person wrote in an .in file."""
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def test_there_are_no_other_sets() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(SETS)


@pytest.mark.parametrize("name", [*SETS, "../languages/requirements"])
def test_every_package_is_locked_with_hashes_and_no_file_names_a_host(name: str) -> None:
    entry = r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; [^#]+?)?\s+(--hash=sha256:[0-9a-f]{64}\s*)+"

    assert [line for line in entries(name) if not re.fullmatch(entry, line)] == []
    assert not re.search(r"^--|index|https?:|git\+", "\n".join(entries(name)), re.MULTILINE)


@pytest.mark.parametrize("name", SETS)
def test_the_locked_versions_satisfy_what_is_declared(name: str) -> None:
    source = FOLDER / f"{name}.in"
    required = [*map(Requirement, DECLARED[name]), *(declared(source) if source.exists() else ())]
    locked = versions(name)

    unmet = [str(one) for one in required if not one.specifier.contains(locked.get(canonicalize_name(one.name), "0"))]

    assert required
    assert unmet == [], "run 'make lock'"


@pytest.mark.parametrize("name", ["dev", "server", "build"])
def test_extras_that_packages_require_of_each_other_are_locked(name: str) -> None:
    """Otherwise pip takes the requirement with the extra for another package, which has no hash."""
    locked = pins(name)
    here = [package for package, pin in locked.items() if pin.marker is None or pin.marker.evaluate()]

    required = [(package, Requirement(text)) for package in here for text in metadata.requires(package) or ()]

    missing = {
        f"{package}: {one}"
        for package, one in required
        if (one.marker is None or one.marker.evaluate({"extra": ""}))
        and not one.extras <= locked[canonicalize_name(one.name)].extras
    }
    assert missing == set()


def test_a_package_has_the_version_that_the_tests_use() -> None:
    tested = versions("dev")
    oldest = {canonicalize_name(one.name) for one in declared(FOLDER / "floor.in") if one.specifier}

    others = [*versions("server").items(), *versions("build").items()]
    others += [(package, version) for package, version in versions("floor").items() if package not in oldest]

    assert [(package, version) for package, version in others if tested.get(package) != version] == []


def test_the_floor_is_what_pyproject_declares() -> None:
    oldest = {canonicalize_name(one.name): one.specifier for one in declared(FOLDER / "floor.in") if one.specifier}
    lowest = {
        canonicalize_name(one.name): next(part.version for part in one.specifier if part.operator == ">=")
        for one in map(Requirement, SERVER)
        if canonicalize_name(one.name) in oldest
    }

    assert lowest.keys() == oldest.keys()
    assert [name for name, version in lowest.items() if not oldest[name].contains(version)] == []


def test_make_installs_only_what_is_locked() -> None:
    stamps = (".venv/.server", ".venv/.dev", ".venv-floor/.stamp", "build/protoc/.stamp", "build/lock/.stamp")
    dry_run = ["make", "--always-make", "--dry-run", *stamps]
    commands = subprocess.run(dry_run, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    installs = re.findall(r"pip install (.*?)(?: &&|; \}|$)", commands, re.MULTILINE)

    project = "-q --no-index --no-deps --no-build-isolation -e ."
    locked = re.compile(r"--require-hashes --only-binary :all:( -r \.ci/requirements/\w+\.txt)+")
    assert [line for line in installs if line != project and not locked.fullmatch(line)] == []
    assert len(installs) == 8
    assert {name for line in installs for name in re.findall(r"requirements/(\w+)\.txt", line)} == set(SETS)


def test_nothing_else_in_the_makefile_installs_python_packages() -> None:
    scripts = (ROOT / "Makefile").read_text("utf-8") + (ROOT / ".ci/run").read_text("utf-8")

    assert re.findall(r"(\w+) := .*\bpip install", scripts) == ["PIP_INSTALL", "PIP_INSTALL_PROJECT"]
    assert len(re.findall(r"\bpip3? install|\buvx?\b|\bpipx\b|\beasy_install\b", scripts)) == 2


@pytest.mark.parametrize("path", NODE_LOCKS)
def test_every_npm_package_has_a_hash_and_is_installed_by_it(path: str) -> None:
    packages = json.loads((ROOT / path).read_text("utf-8"))["packages"]

    without = [name for name, package in packages.items() if name and "integrity" not in package]

    assert without == []
    assert set(re.findall(r"\bnpm (\w+)", (ROOT / "Makefile").read_text("utf-8"))) >= {"ci"}


def test_the_image_consists_of_a_base_image_that_can_be_pinned_and_locked_packages() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    steps = [json.loads(step) for step in re.findall(r"^RUN (.+)$", text, re.MULTILINE)]
    installs = [step for step in steps if "pip" in step]

    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE_IMAGE}"] * 2
    assert re.findall(r"^ARG (.+)", text, re.MULTILINE) == ["BASE_IMAGE=python:3.12-slim"]
    assert "PIP_ONLY_BINARY=:all:" in text
    assert [step for step in installs if "--require-hashes" not in step and "--no-index" not in step] == []
    assert [step[-1] for step in installs if "--require-hashes" in step] == [
        ".ci/requirements/server.txt",
        ".ci/requirements/build.txt",
    ]
    assert [step for step in steps if step not in installs] == [
        ["python", "-m", "venv", "--without-pip", "/opt/aimanager"]
    ]
    assert not re.search(r"^ADD|https?:|curl|wget|apt", text, re.MULTILINE)
