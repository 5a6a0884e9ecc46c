"""Finds fenced blocks in a text that comes in pieces, in bounded memory, however it is cut."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_LINE = 4_096
"""A longer line is no fence and names nothing; only its beginning is kept outside a block."""

FENCE = re.compile(r"(?P<indent>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)")
"""The beginning of a block, at any indentation or as an item of a list, as models write them."""

CLOSING_INDENT = 3
"""A closing fence may be indented by so much more than the opening one; more is content."""


@dataclass(frozen=True, slots=True)
class Block:
    """A whole fenced block. `info` is what stands behind the opening fence, `before` the last line above it.

    `text` has the content with its line ends, less the indentation of the fence.
    """

    info: str
    before: str
    text: str


class FenceReader:
    """Reads one text. `longest` is the most characters a block may have; longer ones are passed over."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._line: list[str] = []
        self._length = 0
        self._before = ""
        self._blanks = 0
        self._open: _Open | None = None

    def feed(self, text: str) -> list[Block]:
        """The blocks that this piece completed."""
        found: list[Block] = []
        start = 0
        while (end := text.find("\n", start)) >= 0:
            self._gather(text[start : end + 1])
            self._end_line(found)
            start = end + 1
        if start < len(text):
            self._gather(text[start:])
        return found

    def end(self) -> list[Block]:
        """The block that the end of the text completes. One that was never closed is none."""
        found: list[Block] = []
        self._end_line(found)
        self._open = None
        return found

    def _gather(self, piece: str) -> None:
        """Keep as much of the line as can matter: all of it within a block that is still kept, else its beginning."""
        room = LONGEST_LINE + 1 - self._length
        if self._open is not None and not self._open.is_lost:
            room = max(room, self._longest + 1 - self._open.length - self._length)
        if room > 0:
            self._line.append(piece[:room])
        self._length += len(piece)

    def _end_line(self, found: list[Block]) -> None:
        line = "".join(self._line)
        is_whole = len(line) == self._length
        self._line.clear()
        self._length = 0
        if self._open is None:
            self._outside(line if is_whole else "…")
            return
        if is_whole and self._open.is_closed_by(line):
            if not self._open.is_lost and self._open.pieces:
                found.append(self._open.block())
            self._open, self._blanks = None, 0
        elif is_whole:
            self._open.take(line, self._longest)
        else:
            self._open.lose()

    def _outside(self, line: str) -> None:
        stripped = line.strip()
        opening = FENCE.fullmatch(line.rstrip())
        if opening:
            self._open = _Open(opening, self._before if self._blanks < 2 else "")
            self._before = ""
        elif stripped:
            self._before, self._blanks = stripped, 0
        else:
            self._blanks += 1


class _Open:
    """A block on its way."""

    __slots__ = ("_before", "_fence", "_indent", "_info", "is_lost", "length", "pieces")

    def __init__(self, opening: re.Match[str], before: str) -> None:
        self._fence = opening["fence"]
        self._indent = len(opening["indent"])
        self._info = opening["info"].strip()
        self._before = before
        self.pieces: list[str] = []
        self.length = 0
        self.is_lost = False

    def is_closed_by(self, line: str) -> bool:
        bare = line.strip()
        if len(bare) < len(self._fence) or bare.strip(self._fence[0]):
            return False
        return len(line) - len(line.lstrip()) <= self._indent + CLOSING_INDENT

    def take(self, line: str, longest: int) -> None:
        if self.is_lost:
            return
        blank = len(line) - len(line.lstrip(" \t"))
        kept = line[min(blank, self._indent) :]
        self.length += len(kept)
        if self.length > longest:
            self.lose()
        else:
            self.pieces.append(kept)

    def lose(self) -> None:
        self.is_lost = True
        self.pieces.clear()

    def block(self) -> Block:
        return Block(self._info, self._before, "".join(self.pieces))
