"""The package loads lazily, and holds what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aimanager

PACKAGE = Path(__file__).parents[2] / "clients/python/aimanager"


def modules_after(statement: str) -> set[str]:
    listing = f"{statement}\nimport sys\nprint(*sys.modules)"
    environment = {"PYTHONPATH": str(PACKAGE.parent)}
    run = subprocess.run(  # our own words
        [sys.executable, "-W", "error", "-c", listing], env=environment, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_the_generated_code_loads_no_facade_module() -> None:
    loaded = modules_after("import aimanager.v1.generation_pb2_grpc, aimanager.v1.health_pb2_grpc")

    ours = {name for name in loaded if name.startswith("aimanager.")}
    assert {name for name in ours if not name.startswith("aimanager.v1")} == set()


def test_the_client_needs_neither_the_server_nor_its_packages() -> None:
    loaded = modules_after("from aimanager import AIManager, AsyncAIManager; import aimanager.cli")

    assert not loaded & {"aimanager_server", "grpc_status", "pydantic", "httpx", "aiohttp", "structlog"}


def test_every_name_loads_and_is_known_to_type_checkers() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    checked = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for alias in node.names
    }
    named = {name for names in aimanager._HOMES.values() for name in names}

    assert checked == named <= set(dir(aimanager))
    assert all(getattr(aimanager, name).__name__ == name for name in named)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Conversation'"):
        _ = aimanager.Conversation
