"""Leave out whitespace that has no meaning in a text: spaces at the ends of lines, and blank lines beyond one.

Everything else stays as it is: code blocks, indented lines and the blank lines beside them, rows of tables, hard line
breaks of Markdown, tabs, preformatted HTML and diffs. In doubt, nothing is left out. A string of JSON cannot contain a
line end, so none is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SLICE_LENGTH = 64 * 1024
"""Characters after which `compacted` yields: one to ten milliseconds of work."""

_DIFF = ("@@ ", "diff --git ")
_PREFORMATTED = re.compile(r"<(?:pre|textarea|script|style)\b", re.IGNORECASE)
"""The beginning of HTML in which whitespace matters."""
_OPENING_FENCE = re.compile(r"((?:[ \t]*(?:>|[-*+](?=[ \t])|\d{1,9}[.)](?=[ \t])))*[ \t]*)(`{3,}(?![^`]*`)|~{3,})")
_CLOSING_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})[ \t\r]*$")
_MARKERS = ">-*+0123456789"
_MARKER = re.compile(r"(?:>|[-*+](?=[ \t\r]|$)|\d{1,9}[.)](?=[ \t\r]|$))")
"""Of a quotation or an item of a list."""
_ONLY_MARKERS = re.compile(r"(?:[ \t]*(?:>|[-*+]|\d{1,9}[.)])(?=[ \t\r>]|$))+[ \t]*")
_BACKTICKS = re.compile(r"`+")
_NEVER_CLOSED = "\n"
"""In place of a fence: nothing that follows is changed."""
_BLANK = " \r"


def compacted(text: str) -> Iterator[str]:
    """Yield the text without meaningless whitespace, in pieces, in linear time.

    >>> "".join(compacted("One. \\n\\n\\n\\nTwo."))
    'One.\\n\\nTwo.'
    """
    if " \n" not in text and "\n\n\n" not in text and "\r" not in text:
        yield text
        return
    lines = _Lines()
    position = 0
    while end := text.rfind("\n", position, position + SLICE_LENGTH) + 1:
        for line in text[position : end - 1].split("\n"):
            lines.add(line)
        position = end
        yield lines.take()
    # What follows the last line end, or a line that is too long for prose.
    lines.add_last(text[position:])
    yield lines.take()


class _Lines:
    """Lines of a text in order, each without its line end. One line is held back until the next one is known."""

    __slots__ = (
        "_blank",
        "_container",
        "_fence",
        "_held",
        "_in_code_span",
        "_in_html",
        "_keeps_end",
        "_kept",
        "_stays",
    )

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._held: str | None = None
        self._stays = False  # the line that is held back must not change, nor the blank lines beside it
        self._keeps_end = False  # only its end must not change
        self._in_code_span = False
        self._in_html = False  # where backticks may open no fence
        self._blank: list[str] = []
        self._fence = ""
        self._container = ""  # what every line of the code in the fence begins with

    def add(self, line: str) -> None:
        """Add a line that ends with a line end."""
        if self._fence:
            self._add_code(line)
        elif not line or not line.strip(_BLANK):
            self._blank.append(line)
            self._in_code_span = self._in_html = False
        else:
            stays = _must_stay(line)
            self._release(next_stays=stays)
            self._in_code_span = self._in_code_span or ("`" in line and _has_open_code_span(line))
            self._in_html = self._in_html or line[0] == "<"
            self._held, self._stays, self._keeps_end = line, stays, self._in_code_span
            if "```" in line or "~~~" in line:
                self._open(line)
            elif line.startswith(_DIFF) or ("<" in line and _PREFORMATTED.search(line) is not None):
                self._protect(_NEVER_CLOSED)

    def add_last(self, rest: str) -> None:
        """Add the rest of the text, which is not changed."""
        self._release(next_stays=bool(rest) and _must_stay(rest))
        self._kept.append(rest)

    def take(self) -> str:
        """Return the lines that are complete, and forget them."""
        text, self._kept = "".join(self._kept), []
        return text

    def _open(self, line: str) -> None:
        opening = _OPENING_FENCE.match(line)
        if opening is not None:
            # In an item of a list, the lines of the code are indented as far as the fence.
            self._container = re.sub(r"[^>\t]", " ", opening[1])
            is_certain = not self._in_html and "\t" not in self._container
            self._protect(opening[2] if is_certain else _NEVER_CLOSED)

    def _protect(self, fence: str) -> None:
        """Keep the line that is held back and all that follow, until the fence is closed."""
        self._fence, self._stays = fence, True
        self._release(next_stays=True)

    def _add_code(self, line: str) -> None:
        self._kept.append(f"{line}\n")
        container = self._container
        if container and line.strip(_BLANK) and not line.startswith(container):
            # The list or the quotation may have ended, and the code with it: no later fence is certain.
            self._fence = _NEVER_CLOSED
            return
        closing = _CLOSING_FENCE.match(line, len(container)) if self._fence[:3] in line else None
        if closing is not None and closing[2].startswith(self._fence):
            self._fence = _NEVER_CLOSED if container and closing[1] else ""

    def _release(self, *, next_stays: bool) -> None:
        """Keep the line that is held back and the blank lines after it, shortened if they may be."""
        blank, self._blank = self._blank, []
        stays = self._stays or next_stays
        if self._held is not None:
            unchanged = self._stays or self._keeps_end
            self._kept.append(f"{self._held if unchanged else _trimmed(self._held, before_blank=bool(blank))}\n")
        self._held, self._stays = None, False
        if stays:
            self._kept += [f"{line}\n" for line in blank]
        elif blank:
            self._kept.append("\r\n" if blank[0].endswith("\r") else "\n")


def _must_stay(line: str) -> bool:
    """Return whether a line that is not blank is indented, or code or nothing in an item of a list or a quotation."""
    first = line[0]
    if first in " \t":
        return True
    if first not in _MARKERS:
        return False
    marker = _MARKER.match(line)
    if marker is None:
        return False
    content = line[marker.end() :].rstrip(_BLANK)
    return not content or "    " in content or "\t" in content or _ONLY_MARKERS.fullmatch(content) is not None


def _has_open_code_span(line: str) -> bool:
    """Return whether a code span may begin in a line and end in a later one, where a space is part of it."""
    if "\\`" in line:
        return True
    runs = [len(run) for run in _BACKTICKS.findall(line)]
    following: dict[int, int] = {}
    closed_by: list[int] = [0] * len(runs)
    for index in reversed(range(len(runs))):
        closed_by[index] = following.get(runs[index], -1)
        following[runs[index]] = index
    index = 0
    while index < len(runs):
        if closed_by[index] < 0:
            return True
        index = closed_by[index] + 1
    return False


def _trimmed(line: str, *, before_blank: bool) -> str:
    """Return the line without the spaces at its end, unless they are a hard line break or belong to a table."""
    body, ending = (line[:-1], "\r") if line[-1] == "\r" else (line, "")
    if not body.endswith(" ") or "|" in body:
        return line
    if body.endswith("  ") and not before_blank:
        return line
    text = body.rstrip(" ")
    return line if text.endswith("\\") else text + ending  # a backslash at the end would break the line
