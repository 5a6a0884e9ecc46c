"""Read the language and file name of a fenced block from where models write them."""

from __future__ import annotations

import re
from typing import Final

from .fences import FencedBlock
from .file_types import KNOWN_FILENAMES, is_known_filename

MAX_FILENAME_LENGTH: Final = 255

LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_+#.-]{0,31}")

FILENAME = re.compile(r"[^\s\"'`<>|*?:=(){}\[\],;#]{1,250}\.[A-Za-z0-9]{1,10}")

ATTRIBUTE = re.compile(
    r"(?:^|[\s{,])(?:title|file|filename|file_name|name|path)\s*[=:]\s*"
    r"""("[^"]*"|'[^']*'|[^\s"'},]+)"""
)

LABEL = re.compile(r"(?:file ?name|file ?path|file|path|title)\s*:\s*(.*)", re.IGNORECASE)

COMMENTS = (("#", ""), ("//", ""), ("--", ""), (";", ""), ("%", ""), ("/*", "*/"), ("<!--", "-->"), ('"""', '"""'))
"""Opening and closing marks of one-line comments."""


def language_and_filename(block: FencedBlock) -> tuple[str, str]:
    """Return the language, in lower case, and the file name of a block; each is empty if unknown.

    The file name comes from the first of: the info string, the line above the block if it contains only a name, a
    comment in the first line.

    >>> language_and_filename(FencedBlock("python", "**`app.py`**", "pass"))
    ('python', 'app.py')
    >>> language_and_filename(FencedBlock("js:src/a.js", "", ""))
    ('js', 'src/a.js')
    """
    language, name = _from_info(block.info)
    return language, name or _from_preceding_line(block.preceding_line) or _from_first_line(block.text)


def parse_filename(text: str) -> str:
    """Return the text if it is a file name, with or without directories, or an empty string.

    >>> parse_filename("src/app.py"), parse_filename("Makefile"), parse_filename("e.g."), parse_filename("not one.py")
    ('src/app.py', 'Makefile', '', '')
    """
    is_filename = FILENAME.fullmatch(text) or text.rpartition("/")[2].lower() in KNOWN_FILENAMES
    return text if is_filename and len(text) <= MAX_FILENAME_LENGTH and " " not in text else ""


def _parse_unambiguous_filename(text: str) -> str:
    """Return a file name with directories or a known extension; reject words such as version numbers."""
    name = parse_filename(text)
    return name if "/" in name or is_known_filename(name) else ""


def _from_info(info: str) -> tuple[str, str]:
    attribute = ATTRIBUTE.search(info)
    name = attribute[1].strip("\"'")[:MAX_FILENAME_LENGTH] if attribute else ""
    if attribute and attribute.start() == 0:
        return "", name
    first, *others = info.lstrip("{").split() or [""]
    first = first.rstrip("}").removeprefix(".")
    head, colon, tail = first.partition(":")
    if colon:
        return _parse_language(head), name or parse_filename(tail)
    if first.lower() in KNOWN_FILENAMES:
        # "Dockerfile" is a file name, "dockerfile" a language.
        return _parse_language(first), name or ("" if first.islower() else first)
    if _parse_unambiguous_filename(first):
        return "", name or first
    return _parse_language(first), name or next(filter(None, map(_parse_unambiguous_filename, others)), "")


def _parse_language(word: str) -> str:
    word = word.partition("{")[0].rstrip(",")
    return word.lower() if LANGUAGE.fullmatch(word) else ""


def _from_preceding_line(line: str) -> str:
    return _from_line(_strip_markdown(line))


def _from_first_line(text: str) -> str:
    line = text[: MAX_FILENAME_LENGTH * 2].partition("\n")[0].strip()
    for opening, closing in COMMENTS:
        if line.startswith(opening) and line.endswith(closing) and len(line) > len(opening + closing):
            return _from_line(line[len(opening) : len(line) - len(closing)].strip())
    return ""


def _strip_markdown(line: str) -> str:
    """Remove heading, list, emphasis and code marks, and a trailing colon."""
    line = re.sub(r"^(?:#{1,6}|[-*+]|\d{1,9}[.)])\s+", "", line)
    return line.strip("*_` ").rstrip(":").strip("*_` ")


def _from_line(line: str) -> str:
    labelled = LABEL.fullmatch(line)
    return parse_filename(labelled[1].strip("*_`\"' ")) if labelled else _parse_unambiguous_filename(line)
