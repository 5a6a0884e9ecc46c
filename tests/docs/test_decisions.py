"""The decision records are complete, and their list is too."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.doc_blocks import DOCS

FOLDER = DOCS / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
SECTIONS = ("**Context.**", "**Decision.**", "**Consequences.**")


def test_every_record_has_a_number_a_date_and_its_sections() -> None:
    assert [path.name for path in RECORDS if not is_complete(path)] == []


def test_records_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_the_list_has_every_record_with_its_title() -> None:
    rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.*) \|$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    listed = [(number, file, re.sub(r" \(replaced by \d+\)$", "", title)) for number, file, title in rows]

    assert listed == [(path.name[:4], path.name, title_of(path)) for path in RECORDS]


def test_a_record_that_names_a_replacement_is_marked_in_the_list() -> None:
    replaced = {path.name[:4]: found[1] for path in RECORDS if (found := replacement_of(path))}
    marked = re.findall(r"^\| \[(\d{4})\].*\(replaced by (\d{4})\)", (FOLDER / "README.md").read_text(), re.MULTILINE)

    assert dict(marked) == replaced


def is_complete(path: Path) -> bool:
    text = path.read_text("utf-8")
    has_head = re.match(rf"# {int(path.name[:4])}\. \S.*\n\n2026-\d\d-\d\d[.\n]", text) is not None
    positions = [text.find(section) for section in SECTIONS]
    return has_head and -1 not in positions and positions == sorted(positions)


def title_of(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].partition(". ")[2]


def replacement_of(path: Path) -> re.Match[str] | None:
    return re.search(r"^2026-\d\d-\d\d\. Replaced by (\d{4})\.", path.read_text("utf-8"), re.MULTILINE)
