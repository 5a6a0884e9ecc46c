"""docs/python.md: every example runs and prints what its comments say; every table matches the client."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path

import pytest

import aimanager
from aimanager import AIConfig, AIError, AIManager, AIResponse
from aimanager._convert.capabilities import CAPABILITY_SYNONYMS
from aimanager._convert.operation import PROBE_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT, STREAM_TIMEOUT, TRANSFER_TIMEOUT
from aimanager._convert.scalars import enum_words
from aimanager.errors import ERROR_CLASSES
from aimanager.options import ConnectionOptions, EmbedOptions, RequestOptions, SuggestOptions
from aimanager.v1.model_pb2 import Capability
from aimanager_server.config.settings import Limits
from tests.support.doc_blocks import DOCS, LOCAL_TARGET, CodeBlock, code_blocks
from tests.support.gateway import settings_with, started_gateway
from tests.support.paths import ROOT

RUNS = {("python.md", "python"): "test_example_prints_what_its_comments_say"}

PAGE = (DOCS / "python.md").read_text("utf-8")
BLOCKS = code_blocks("python.md", "python")
PNG = b"\x89PNG\r\n\x1a\n"
OUTPUT = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """A gateway of its own, since the examples of errors count as failures of the mock provider."""
    with started_gateway(settings_with()) as target:
        yield target


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_example_prints_what_its_comments_say(
    block: CodeBlock, gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "import pytest" in block.text:
        run_with_pytest(block.text, tmp_path)
        return
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(PNG)
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7")
    code = "\n" * block.line + block.text.replace(LOCAL_TARGET, gateway)
    out = StringIO()

    # The server of this test also writes to standard output, which would split lines.
    printer = partial(print, file=out)
    with AIManager.gateway(gateway) as ai:
        exec(compile(code, block.page, "exec"), {"__name__": "__main__", "ai": ai, "print": printer})

    expected = [text.replace(LOCAL_TARGET, gateway) for text in OUTPUT.findall(block.text)]
    assert [line for line in out.getvalue().splitlines() if line in expected] == expected, out.getvalue()


def run_with_pytest(text: str, folder: Path) -> None:
    """Run an example that consists of tests."""
    (folder / "test_example.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_examples_pass_mypy_strict(tmp_path: Path) -> None:
    for block in BLOCKS:
        if "import pytest" not in block.text:
            defined = "" if "\nai = " in block.text else "from aimanager import AIManager\nai = AIManager.gateway()\n"
            (tmp_path / f"line_{block.line}.py").write_text(defined + block.text)
    files = map(str, sorted(tmp_path.iterdir()))
    command = [sys.executable, "-m", "mypy", "--strict", "--scripts-are-modules", "--cache-dir", ".mypy_cache/examples"]

    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_option_has_a_row_in_order() -> None:
    assert names(table("option", within="options")) == list(RequestOptions.__annotations__)
    assert names(table("option", within="embed options")) == list(EmbedOptions.__annotations__)
    assert names(table("option", within="suggest options")) == list(SuggestOptions.__annotations__)
    assert set(names(table("connection option"))) == set(ConnectionOptions.__annotations__)
    assert set(names(table("field"))) == set(AIConfig.__dataclass_fields__)


def test_every_attribute_of_a_response_has_a_row() -> None:
    attributes = {name for name in dir(AIResponse) if not name.startswith("_")}

    assert set(names(table("attribute of `AIResponse`"))) == attributes


def test_every_error_has_a_row_with_its_reasons() -> None:
    rows = {row[0].strip("`"): set(re.findall(r"`([A-Z_]+)`", row[2])) for row in table("class", within="errors")}
    classes = {value for name in dir(aimanager) if isinstance(value := getattr(aimanager, name), type)}
    errors = {kind for kind in classes if issubclass(kind, AIError)}

    assert set(rows) == {kind.__name__ for kind in errors}
    assert rows == {
        kind.__name__: {reason for reason, found in ERROR_CLASSES.items() if found is kind} for kind in errors
    }


def test_capabilities_and_their_synonyms_are_those_of_the_client() -> None:
    paragraph = re.search(r"\nCapabilities are (.*?)\. Other names for them are (.*?)\n\n", PAGE, re.DOTALL)
    assert paragraph is not None

    capabilities, synonyms = (set(re.findall(r"`(\w+)`", text)) for text in paragraph.groups())

    assert capabilities == set(enum_words(Capability)) - {""}
    assert synonyms == set(CAPABILITY_SYNONYMS)


def test_size_limits_are_the_defaults_of_the_settings() -> None:
    attachment, message = (int(number) * 1024**2 for number in re.findall(r"at most\s(\d+) MiB", PAGE))

    assert (attachment, message) == (Limits().max_attachment_bytes, Limits().max_message_bytes)


def test_default_timeouts_are_those_of_the_client() -> None:
    seconds = [re.findall(r"\d+", row[1]) for row in table("call")]

    assert [float(number) for row in seconds for number in row] == [
        REQUEST_TIMEOUT,
        STREAM_TIMEOUT,
        PROBE_TIMEOUT,
        REQUEST_TIMEOUT,
        TRANSFER_TIMEOUT,
        READ_TIMEOUT,
    ]


def table(first_column: str, *, within: str = "") -> list[list[str]]:
    """Return the rows of the only table whose first column has this name, within the comment of this name if given."""
    text = PAGE.partition(f"<!-- {within}:")[2].partition(f"<!-- /{within} -->")[0] if within else PAGE
    (found,) = re.findall(rf"^\| {re.escape(first_column)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found.splitlines()]


def names(rows: list[list[str]]) -> list[str]:
    """Return the names in the first column."""
    return [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
