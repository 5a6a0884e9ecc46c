"""Read the pages of the documentation: fenced code blocks, links, headings and shell commands."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

DOCS = ROOT / "docs"
LOCAL_TARGET = "127.0.0.1:50051"
"""The address of the gateway in examples."""

_FENCE = re.compile(r"(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[^\s`]*)[^`]*")
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*")
_INLINE_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced code block. `page` is the name of its file, `line` the line of its opening fence, from 1."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}:{self.language or 'no-language'}"


def pages() -> list[Path]:
    """Return the pages of the documentation, without the decision records."""
    return sorted(DOCS.glob("*.md"))


def code_blocks(page: Path | str, *languages: str) -> list[CodeBlock]:
    """Return the fenced code blocks of a page, given by its path or its name below docs/; all languages if none given.

    The indentation of a fence, such as in a list, is removed from its lines. Raises ValueError for an open fence.
    """
    path = DOCS / page
    blocks = _blocks(path.name, path.read_text("utf-8"))
    return [block for block in blocks if not languages or block.language in languages]


def every_block(*languages: str) -> list[CodeBlock]:
    """Return the code blocks of all pages."""
    return [block for page in pages() for block in code_blocks(page, *languages)]


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks; lines keep their numbers."""
    lines = page.read_text("utf-8").splitlines()
    for block in _blocks(page.name, "\n".join(lines)):
        end = block.line + block.text.count("\n") + 1
        lines[block.line - 1 : end] = [""] * (end - block.line + 1)
    return "\n".join(lines)


def links(page: Path) -> list[str]:
    """Return the targets of all links of a page."""
    text = _INLINE_CODE.sub("", prose(page))
    return [inline or reference for inline, reference in _LINK.findall(text)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: those that GitHub derives from its headings, and explicit ones."""
    text, found, counts = prose(page), set[str](), Counter[str]()
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            slug = _slug(heading[1])
            found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
            counts[slug] += 1
    return found | set(_ANCHOR.findall(text))


def inline_code(page: Path) -> list[str]:
    """Return the code spans in the text of a page, whitespace normalized."""
    return [" ".join(code.split()) for _, code in _INLINE_CODE.findall(prose(page))]


def commands(block: CodeBlock) -> list[str]:
    """Return the commands of a shell block or the input lines of a transcript, continued lines joined.

    >>> commands(CodeBlock("a.md", 1, "sh", "make run   # starts a server\\n\\ncurl \\\\\\n  -v localhost\\n"))
    ['make run', 'curl -v localhost']
    """
    text = re.sub(r"\\\n\s*", "", block.text)
    lines = text.splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    stripped = (re.sub(r"(^|\s+)#\s.*$", "", line).strip() for line in lines)
    return [line for line in stripped if line]


def run_python(block: CodeBlock, target: str) -> str:
    """Run a Python block against the gateway at `target`, which replaces LOCAL_TARGET, and return what it printed."""
    code = "\n" * block.line + block.text.replace(LOCAL_TARGET, target)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, block.page, "exec"), {"__name__": "__main__"})
    return output.getvalue()


def _blocks(page: str, text: str) -> Iterator[CodeBlock]:
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if not (opening := _FENCE.fullmatch(line)):
            continue
        indent, fence, content = opening["indent"], opening["fence"], []
        for _, inner in lines:
            if re.fullmatch(rf"\s*{fence[0]}{{{len(fence)},}}\s*", inner):
                break
            content.append(f"{inner.removeprefix(indent)}\n")
        else:
            raise ValueError(f"{page}:{number}: the code block is not closed")
        yield CodeBlock(page, number, opening["language"], "".join(content))


def _slug(heading: str) -> str:
    """Return GitHub's anchor for a heading.

    >>> _slug("`[server]`: listeners, limits")
    'server-listeners-limits'
    """
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
