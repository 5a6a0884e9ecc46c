"""Reads what a model calls a deliverable, from the places where models write it."""

from __future__ import annotations

import re
from typing import Final

from .fences import Block
from .file_types import BARE_NAMES, is_known

LONGEST_NAME: Final = 255

LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_+#.-]{0,31}")

FILE = re.compile(r"[^\s\"'`<>|*?:=(){}\[\],;#]{1,250}\.[A-Za-z0-9]{1,10}")

ATTRIBUTE = re.compile(
    r"(?:^|[\s{,])(?:title|file|filename|file_name|name|path)\s*[=:]\s*"
    r"""("[^"]*"|'[^']*'|[^\s"'},]+)"""
)

LABEL = re.compile(r"(?:file ?name|file ?path|file|path|title)\s*:\s*(.*)", re.IGNORECASE)

COMMENTS = (("#", ""), ("//", ""), ("--", ""), (";", ""), ("%", ""), ("/*", "*/"), ("<!--", "-->"), ('"""', '"""'))
"""How a line of a file begins and ends that is a comment."""


def named(block: Block) -> tuple[str, str]:
    """The language, in lower case, and the file name of a block; each is empty where nobody said it.

    A name is looked for behind the fence, then in the line above it, which has to be nothing but a name, then in a
    comment in the first line.

    >>> named(Block("python", "**`app.py`**", "pass")), named(Block("js:src/a.js", "", ""))
    (('python', 'app.py'), ('js', 'src/a.js'))
    """
    language, name = _of_info(block.info)
    return language, name or _above(block.before) or _first_line(block.text)


def as_name(text: str) -> str:
    """The text where it is a file name, with or without folders; else nothing.

    >>> as_name("src/app.py"), as_name("Makefile"), as_name("e.g."), as_name("not one.py")
    ('src/app.py', 'Makefile', '', '')
    """
    is_name = FILE.fullmatch(text) or text.rpartition("/")[2].lower() in BARE_NAMES
    return text if is_name and len(text) <= LONGEST_NAME and " " not in text else ""


def _sure(text: str) -> str:
    """A file name that nobody can take for anything else, such as a version: its ending is known, or it has folders."""
    name = as_name(text)
    return name if "/" in name or is_known(name) else ""


def _of_info(info: str) -> tuple[str, str]:
    attribute = ATTRIBUTE.search(info)
    name = attribute[1].strip("\"'")[:LONGEST_NAME] if attribute else ""
    if attribute and attribute.start() == 0:
        return "", name
    first, *others = info.lstrip("{").split() or [""]
    first = first.rstrip("}").removeprefix(".")
    head, colon, tail = first.partition(":")
    if colon:
        return _language(head), name or as_name(tail)
    if first.lower() in BARE_NAMES:
        # "Dockerfile" is the file's name, "dockerfile" the language.
        return _language(first), name or ("" if first.islower() else first)
    if _sure(first):
        return "", name or first
    return _language(first), name or next(filter(None, map(_sure, others)), "")


def _language(word: str) -> str:
    word = word.partition("{")[0].rstrip(",")
    return word.lower() if LANGUAGE.fullmatch(word) else ""


def _above(line: str) -> str:
    return _named_by(_undecorated(line))


def _first_line(text: str) -> str:
    line = text[: LONGEST_NAME * 2].partition("\n")[0].strip()
    for opening, closing in COMMENTS:
        if line.startswith(opening) and line.endswith(closing) and len(line) > len(opening + closing):
            inside = line[len(opening) : len(line) - len(closing)].strip()
            return _named_by(inside)
    return ""


def _undecorated(line: str) -> str:
    """Without the signs of headings, lists, emphasis and code, and without a colon at the end."""
    line = re.sub(r"^(?:#{1,6}|[-*+]|\d{1,9}[.)])\s+", "", line)
    return line.strip("*_` ").rstrip(":").strip("*_` ")


def _named_by(line: str) -> str:
    labelled = LABEL.fullmatch(line)
    return as_name(labelled[1].strip("*_`\"' ")) if labelled else _sure(line)
