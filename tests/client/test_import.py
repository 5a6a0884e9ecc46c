"""The package imports lazily, and declares what it exports."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import aimanager

PACKAGE = Path(__file__).parents[2] / "clients/python/aimanager"


def modules_after(statement: str) -> set[str]:
    listing = f"{statement}\nimport sys\nprint(*sys.modules)"
    environment = {"PYTHONPATH": str(PACKAGE.parent)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", listing], env=environment, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_generated_code_imports_nothing_else_of_the_client() -> None:
    loaded = modules_after("import aimanager.v1.generation_pb2_grpc, aimanager.v1.health_pb2_grpc")

    client_modules = {name for name in loaded if name.startswith("aimanager.")}
    assert {name for name in client_modules if not name.startswith("aimanager.v1")} == set()


def test_client_imports_neither_the_server_nor_its_packages() -> None:
    loaded = modules_after("from aimanager import AIManager, AsyncAIManager; import aimanager.cli")

    assert not loaded & {"aimanager_server", "grpc_status", "pydantic", "httpx", "httptools", "structlog"}


def test_every_public_name_loads_and_is_declared() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    declared = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for alias in node.names
    }
    lazy = {name for names in aimanager._MODULES.values() for name in names}

    assert declared == lazy <= set(dir(aimanager))
    assert all(getattr(aimanager, name).__name__ == name for name in lazy - {"Prompt", "Session", "Turn"})
    assert aimanager.Prompt
    assert aimanager.Turn


def test_star_import_gives_every_public_name() -> None:
    names: dict[str, object] = {}

    exec("from aimanager import *", names)

    assert names.keys() - {"__builtins__"} == {name for names in aimanager._MODULES.values() for name in names}


def test_version_is_that_of_the_package() -> None:
    assert aimanager.__version__ == version("aimanager")


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Gateway'"):
        _ = aimanager.Gateway
