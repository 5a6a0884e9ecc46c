"""`make sbom` describes what a server consists of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

from tests.support.paths import ROOT


def written(folder: Path) -> str:
    """Return what the script of `make sbom` writes."""
    file = folder / "sbom.json"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000"}
    command = [sys.executable, "-W", "error", ".ci/sbom.py", str(file)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return file.read_text("utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("sbom"))


@pytest.fixture(scope="module")
def sbom(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def test_it_is_valid_cyclonedx_1_6_and_names_no_host(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert set(re.findall(r"https?://([^/\"]+)", text)) <= {"cyclonedx.org"}


def test_it_lists_each_package_of_a_server_with_version_license_and_hashes(sbom: dict[str, Any]) -> None:
    locked = (ROOT / ".ci/requirements/server.txt").read_text("utf-8")
    pins = map(Requirement, re.findall(r"(?m)^(\w.*?)\s*\\$", locked))
    needed = {pin.name for pin in pins if pin.marker is None or pin.marker.evaluate()}
    components = {part["name"]: part for part in sbom["components"]}

    assert components.keys() == needed
    for name, part in components.items():
        assert part["version"] == metadata.version(name)
        assert part["licenses"]
        assert all(entry["content"] in locked for entry in part["externalReferences"][0]["hashes"])


def test_each_package_is_required_by_the_server_or_another_package(sbom: dict[str, Any]) -> None:
    requires = {entry["ref"]: entry.get("dependsOn", []) for entry in sbom["dependencies"]}
    reached, waiting = set(), [sbom["metadata"]["component"]["bom-ref"]]
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.add(reference)
            waiting += requires[reference]

    assert reached == requires.keys()
    assert len(reached) == len(sbom["components"]) + 1


def test_it_changes_only_if_something_else_changes(text: str, tmp_path: Path) -> None:
    assert written(tmp_path) == text
