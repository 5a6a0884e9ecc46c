"""Retired phrases stay out of everything that users and operators read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

RETIRED = (
    # riddles and inversions
    r"whoever", r"whosoever", r"heirs?", r"how manieth", r"befalls?", r"the way out", r"dearness",
    r"what was asked and what it took", r"what it took", r"nobody wants", r"nobody answered",
    # personification
    r"(?:is|be|are) left alone", r"leaves? (?:it|them) alone", r"comes? again", r"takes no turn",
    r"gives? up the answer", r"told to come again", r"made good", r"hopeless", r"begins? anew",
    # literal translations
    r"is no (?:name|tool|model|setting|number|text|object|list|answer|provider)", r"ended without its end",
    r"not more than \d+ (?:is|are)", r"(?:is|are) there twice", r"at most \d+ are taken", r"under way", r"broke off",
    r"break off", r"cannot be had", r"makes vectors", r"turned away", r"asked again",
    r"correct the field and send",
    # British spelling of words that have one spelling here
    r"catalogue", r"normalis\w+", r"behaviour", r"honour\w*", r"summaris\w+", r"recognis\w+", r"initialis\w+",
)  # fmt: skip
"""Regular expressions, matched as whole words without regard to case."""

PATTERN = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b", re.IGNORECASE)
READ_BY_USERS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "server",
    "clients/python",
    "clients/typescript/src",
)
SUFFIXES = {".py", ".toml", ".md", ".ts"}


def test_no_retired_phrase_is_left() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()!r} in {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        for match in PATTERN.finditer(line)
    ]

    assert not found, "\n" + "\n".join(found)


def texts() -> Iterator[Path]:
    """The files whose names, comments and messages somebody outside the project reads; generated stubs excepted."""
    for name in READ_BY_USERS:
        start = ROOT / name
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            if path.suffix in SUFFIXES and not {"v1", "gen", "node_modules"} & set(path.parts):
                yield path
