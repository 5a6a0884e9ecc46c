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
_FENCE = re.compile(r"([ \t>]*)(`{3,}|~{3,})[ \t\r]*$")
_MAX_FENCE_INDENTATION = 3
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

    __slots__ = ("_blank", "_fence", "_held", "_is_nested", "_kept", "_stays")

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._held: str | None = None
        self._stays = False  # the line that is held back must not change, nor the blank lines beside it
        self._blank: list[str] = []
        self._fence = ""
        self._is_nested = False

    def add(self, line: str) -> None:
        """Add a line that ends with a line end."""
        if self._fence:
            self._add_code(line)
        elif not line or not line.strip(_BLANK):
            self._blank.append(line)
        else:
            stays = line[0] in " \t"
            self._release(next_stays=stays)
            self._held, self._stays = line, stays
            if "```" in line or "~~~" in line:
                self._open(line)
            elif line.startswith(_DIFF) or ("<" in line and _PREFORMATTED.search(line) is not None):
                self._protect(_NEVER_CLOSED)

    def add_last(self, rest: str) -> None:
        """Add the rest of the text, which is not changed."""
        self._release(next_stays=bool(rest) and rest[0] in " \t")
        self._kept.append(rest)

    def take(self) -> str:
        """Return the lines that are complete, and forget them."""
        text, self._kept = "".join(self._kept), []
        return text

    def _open(self, line: str) -> None:
        opening = _OPENING_FENCE.match(line)
        if opening is not None:
            self._protect(opening[2])
            self._is_nested = _is_nested(opening[1])

    def _protect(self, fence: str) -> None:
        """Keep the line that is held back and all that follow, until the fence is closed."""
        self._fence, self._stays = fence, True
        self._release(next_stays=True)

    def _add_code(self, line: str) -> None:
        self._kept.append(f"{line}\n")
        closing = _FENCE.match(line) if self._fence[:3] in line else None
        if closing is None or not closing[2].startswith(self._fence):
            return
        if _is_nested(closing[1]) == self._is_nested:
            self._fence = ""
        elif self._is_nested:
            # It may close the fence in a list, or open another one: no later fence is certain.
            self._fence = _NEVER_CLOSED
        # Else it is a line of the code.

    def _release(self, *, next_stays: bool) -> None:
        """Keep the line that is held back and the blank lines after it, shortened if they may be."""
        blank, self._blank = self._blank, []
        stays = self._stays or next_stays
        if self._held is not None:
            self._kept.append(f"{self._held if self._stays else _trimmed(self._held, before_blank=bool(blank))}\n")
        self._held, self._stays = None, False
        if stays:
            self._kept += [f"{line}\n" for line in blank]
        elif blank:
            self._kept.append("\r\n" if blank[0].endswith("\r") else "\n")


def _trimmed(line: str, *, before_blank: bool) -> str:
    """Return the line without the spaces at its end, unless they are a hard line break or belong to a table."""
    body, ending = (line[:-1], "\r") if line[-1] == "\r" else (line, "")
    if not body.endswith(" ") or "|" in body:
        return line
    if body.endswith("  ") and not before_blank:
        return line
    return body.rstrip(" ") + ending


def _is_nested(prefix: str) -> bool:
    """Return whether what is before a fence puts it into a list, a quotation or an indented block."""
    return len(prefix) > _MAX_FENCE_INDENTATION or bool(prefix.strip(" "))
