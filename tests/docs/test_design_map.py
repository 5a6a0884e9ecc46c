"""docs/design-map.md has everything of the original design document, and describes the code as it is."""

from __future__ import annotations

import re
import shlex
from io import StringIO

import pytest

from aimanager.cli.command import main
from aimanager.cli.console import Console
from tests.docs.documented_values import wrong_values
from tests.docs.named_code import named_code, undefined
from tests.support.doc_blocks import DOCS
from tests.support.original_design.names import CHAPTERS, NUMBERS
from tests.support.original_design.samples import SAMPLES
from tests.support.paths import ROOT

PAGE = (DOCS / "design-map.md").read_text("utf-8")
WORD = re.compile(r"`(\w+)`")
TEST = re.compile(r"`(test_\w+)(?:\[([^]]+)\])?`")


def rows_of(chapter: str) -> list[list[str]]:
    """Return the cells of each row of a chapter's table, without its head."""
    section = PAGE.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if "|" in line][2:]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_name_in_the_code_of_the_document_has_a_row(chapter: str) -> None:
    named = [set(WORD.findall(row[0])) for row in rows_of(chapter)]

    missing = [
        f"{owner}.{member}" if member else owner
        for owner, members in CHAPTERS[chapter].items()
        for member in ("", *members)
        if not any({owner, member or owner} <= names for names in named)
    ]

    assert missing == []


@pytest.mark.parametrize("chapter", [*CHAPTERS, "Promises"])
def test_every_row_says_where_it_is_and_what_shows_it(chapter: str) -> None:
    rows = rows_of(chapter)

    assert rows
    assert [row for row in rows if len(row) != 4 or not all(row)] == []
    assert [row[0] for row in rows if not named_code(row[2]) and "/" not in row[2]] == []
    assert [row[0] for row in rows if not (TEST.search(row[3]) or re.search(r"`(make|aimanager)", row[3]))] == []


def test_every_named_file_and_function_exists() -> None:
    named = named_code(PAGE)

    assert len(named) > 120
    assert undefined(named) == []


def test_every_named_test_exists() -> None:
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"^(?:async )?def (test_\w+)\(", "\n".join(sources), re.MULTILINE))
    named = TEST.findall(PAGE)

    assert {test for test, _ in named} - existing == set()
    assert {case for _, case in named if case} == set(SAMPLES)


def test_every_named_command_works(gateway: str) -> None:
    commands = set(re.findall(r"`aimanager ([^`]+)`", PAGE))
    targets = set(re.findall(r"`make ([a-z-]+)`", PAGE))
    console = Console(StringIO(), StringIO(), StringIO())

    exits = {command: main(shlex.split(command), console, {"AIMANAGER_TARGET": gateway}) for command in commands}

    assert len(exits) == 6
    assert [command for command, exit_code in exits.items() if exit_code != 0] == []
    assert targets - set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)) == set()


def test_every_number_of_the_document_is_on_the_page() -> None:
    numbers = PAGE.partition("\n## Numbers that are the document's\n")[2]

    missing = {
        name: number
        for name, each in NUMBERS.items()
        for number in each
        if not re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d.,]*\d)", numbers)
    }

    assert missing == {}


def test_numbers_are_those_of_the_code() -> None:
    changed = [f"| {what} | {here} | {where} |" for what, _, here, where, _ in rows_of("Numbers that were changed")]
    kept = [f"| {' | '.join(row)} |" for row in rows_of("Numbers that are the document's")]

    assert len(changed) + len(kept) == 16
    assert wrong_values("\n".join([*changed, *kept])) == []
