"""Every code block, link and command of docs/*.md works. `runners.py` says how to register further tests."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimanager_server.config.loader import load
from tests.docs.runners import missing_tests, runners
from tests.support.doc_blocks import (
    LOCAL_TARGET,
    CodeBlock,
    anchors,
    code_blocks,
    commands,
    every_block,
    inline_code,
    links,
    pages,
    run_python,
)
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

LANGUAGES = ("python", "toml", "yaml", "sh")
"""Languages that this module covers on every page, unless a page's own module registers for them."""

EXECUTABLES: dict[str, tuple[str, ...]] = {
    "aimanager": (),
    "aimanager-server": ("config", "errors", "token", "--version", "--help"),
}
"""Commands that run as written, and their first arguments, any if empty. Each must succeed."""


def own_blocks(*languages: str) -> list[CodeBlock]:
    """Return the blocks that no other module covers."""
    return [block for block in every_block(*languages) if (block.page, block.language) not in runners().blocks]


@pytest.fixture
def new_gateway() -> Iterator[str]:
    """A gateway for one example: errors count as failures of the mock provider, and a Retry-After blocks it."""
    with started_gateway(settings_with()) as target:
        yield target


@pytest.mark.parametrize("block", own_blocks("python"), ids=str)
def test_python_block_runs(block: CodeBlock, new_gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(block, new_gateway)


@pytest.mark.parametrize("block", own_blocks("toml"), ids=str)
def test_toml_block_is_a_valid_config_file(block: CodeBlock, tmp_path: Path) -> None:
    load(with_existing_files(tomllib.loads(block.text), tmp_path), None, {})


@pytest.mark.parametrize("block", own_blocks("yaml"), ids=str)
def test_yaml_block_parses(block: CodeBlock, tmp_path: Path) -> None:
    documents = re.split(r"^---.*$", block.text, flags=re.MULTILINE)

    assert [problem for document in documents if (problem := yaml_problem(document, tmp_path))] == []


@pytest.mark.parametrize("block", own_blocks("sh"), ids=str)
def test_sh_block_runs_or_has_its_own_tests(block: CodeBlock, gateway: str, tmp_path: Path) -> None:
    for command in commands(block):
        if command not in runners().commands:
            assert is_executable(command), f"{command!r} is not run: add it to COMMANDS with the test that runs it"
            run(command, gateway, tmp_path)


def test_every_block_has_a_test() -> None:
    unknown = [str(block) for block in own_blocks() if block.language not in LANGUAGES]

    assert unknown == [], "register a test for these blocks, see tests/docs/runners.py"


def test_registered_tests_exist() -> None:
    assert missing_tests() == []


def test_registered_blocks_exist() -> None:
    existing = {(block.page, block.language) for block in every_block()}

    assert runners().blocks.keys() - existing == set()


@pytest.mark.parametrize("page", [*pages(), ROOT / "README.md"], ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    relative = (link for link in links(page) if not re.match(r"[a-z+]+:", link))

    assert [link for link in relative if not exists(link, page)] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    texts = [*inline_code(page), *(line for block in code_blocks(page, "sh", "console") for line in commands(block))]

    assert {name for text in texts for name in re.findall(r"^make ([a-z-]+)", text)} - targets == set()


def exists(link: str, page: Path) -> bool:
    """Return whether the target of a relative link exists, including its anchor."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def with_existing_files(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a table in which every setting named *_file is the path of a file that exists."""
    return dict(_with_existing_files(table, folder))


def _with_existing_files(table: dict[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield name, with_existing_files(value, folder)
        elif isinstance(value, list):
            yield name, [with_existing_files(item, folder) if isinstance(item, dict) else item for item in value]
        elif name.endswith("_file"):
            (folder / name).write_text("content")
            yield name, str(folder / name)
        else:
            yield name, value


def yaml_problem(document: str, folder: Path) -> str:
    """Return the syntax error that Go's YAML parser, which Kubernetes uses, reports through buf; empty if none."""
    config = folder / "document.yaml"
    config.write_text(document)
    done = subprocess.run(
        [script("buf"), "config", "ls-modules", "--config", str(config)], capture_output=True, text=True
    )
    problems = re.findall(r"^yaml: (?!unmarshal errors).*", done.stderr, re.MULTILINE)
    return "".join(problems[:1])


def is_executable(command: str) -> bool:
    name, *arguments = shlex.split(command)
    first_arguments = EXECUTABLES.get(name)
    return first_arguments is not None and (
        not first_arguments or arguments[:1] in [[each] for each in first_arguments]
    )


def run(command: str, gateway: str, folder: Path) -> None:
    """Run an installed command with the gateway as its default target; redirections to a file work."""
    name, _, arguments = command.replace(LOCAL_TARGET, gateway).partition(" ")
    environment = {"PATH": os.environ["PATH"], **({"AIMANAGER_TARGET": gateway} if name == "aimanager" else {})}
    shell = ["sh", "-c", f"{shlex.quote(script(name))} {arguments}"]

    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, f"{command}: {done.stderr}"


def script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
