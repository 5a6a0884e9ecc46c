"""Find fenced blocks in text that arrives in pieces, in bounded memory, regardless of how the text is split."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINE_LENGTH = 4_096
"""A longer line is neither a fence nor a file name; outside a block only its beginning is buffered."""

FENCE = re.compile(r"(?P<indent>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)")
"""The opening line of a block, at any indentation or inside a list item, as models write them."""

CLOSING_INDENT = 3
"""A closing fence may be indented by up to this many more characters than the opening fence."""


@dataclass(frozen=True, slots=True)
class FencedBlock:
    """A closed fenced block: its info string, the last line above it, and its content.

    `text` keeps its line endings and loses the indentation of the opening fence.
    """

    info: str
    preceding_line: str
    text: str


class FenceReader:
    """Read one text piece by piece and return its fenced blocks; skip blocks longer than `max_characters`."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._line: list[str] = []
        self._line_length = 0
        self._preceding_line = ""
        self._blank_lines = 0
        self._block: _OpenBlock | None = None

    def feed(self, text: str) -> list[FencedBlock]:
        """Return the blocks that this piece closes."""
        found: list[FencedBlock] = []
        start = 0
        while (end := text.find("\n", start)) >= 0:
            self._append_to_line(text[start : end + 1])
            self._end_line(found)
            start = end + 1
        if start < len(text):
            self._append_to_line(text[start:])
        return found

    def finish(self) -> list[FencedBlock]:
        """Return the block that the end of the text closes; discard one that has no closing fence."""
        found: list[FencedBlock] = []
        self._end_line(found)
        self._block = None
        return found

    def _append_to_line(self, piece: str) -> None:
        """Buffer the line: in full inside a block that is still collected, otherwise only its beginning."""
        space = MAX_LINE_LENGTH + 1 - self._line_length
        if self._block is not None and not self._block.is_skipped:
            space = max(space, self._max_characters + 1 - self._block.length - self._line_length)
        if space > 0:
            self._line.append(piece[:space])
        self._line_length += len(piece)

    def _end_line(self, found: list[FencedBlock]) -> None:
        line = "".join(self._line)
        is_complete = len(line) == self._line_length
        self._line.clear()
        self._line_length = 0
        if self._block is None:
            self._read_outside_block(line if is_complete else "…")
            return
        if is_complete and self._block.is_closed_by(line):
            if not self._block.is_skipped and self._block.lines:
                found.append(self._block.finish())
            self._block, self._blank_lines = None, 0
        elif is_complete:
            self._block.add_line(line, self._max_characters)
        else:
            self._block.skip()

    def _read_outside_block(self, line: str) -> None:
        stripped = line.strip()
        opening = FENCE.fullmatch(line.rstrip())
        if opening:
            self._block = _OpenBlock(opening, self._preceding_line if self._blank_lines < 2 else "")
            self._preceding_line = ""
        elif stripped:
            self._preceding_line, self._blank_lines = stripped, 0
        else:
            self._blank_lines += 1


class _OpenBlock:
    """A block whose closing fence has not arrived yet."""

    __slots__ = ("_fence", "_indent", "_info", "_preceding_line", "is_skipped", "length", "lines")

    def __init__(self, opening: re.Match[str], preceding_line: str) -> None:
        self._fence = opening["fence"]
        self._indent = len(opening["indent"])
        self._info = opening["info"].strip()
        self._preceding_line = preceding_line
        self.lines: list[str] = []
        self.length = 0
        self.is_skipped = False

    def is_closed_by(self, line: str) -> bool:
        stripped = line.strip()
        if len(stripped) < len(self._fence) or stripped.strip(self._fence[0]):
            return False
        return len(line) - len(line.lstrip()) <= self._indent + CLOSING_INDENT

    def add_line(self, line: str, max_characters: int) -> None:
        if self.is_skipped:
            return
        indent = len(line) - len(line.lstrip(" \t"))
        dedented = line[min(indent, self._indent) :]
        self.length += len(dedented)
        if self.length > max_characters:
            self.skip()
        else:
            self.lines.append(dedented)

    def skip(self) -> None:
        """Drop the content; the block is too long."""
        self.is_skipped = True
        self.lines.clear()

    def finish(self) -> FencedBlock:
        return FencedBlock(self._info, self._preceding_line, "".join(self.lines))
