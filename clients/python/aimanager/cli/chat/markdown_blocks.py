"""Split Markdown that arrives in pieces into blocks that can be rendered one by one."""

from __future__ import annotations

import re

MAX_PIECES = 100
"""Of the unfinished line, which may be long."""

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class MarkdownBlocks:
    """Collects text and returns each block once it is complete, so that a long answer is rendered once, not each time.

    A block ends at an empty line outside of fenced code, unless the next line is indented and so belongs to it.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._pieces: list[str] = []
        self._fence = ""
        self._ends_here = False

    @property
    def unfinished_line(self) -> str:
        """The end of the line that is not complete yet."""
        return "".join(self._pieces[-MAX_PIECES:])

    def add(self, text: str) -> list[str]:
        r"""Add text and return the blocks that it completes.

        >>> blocks = MarkdownBlocks()
        >>> blocks.add("# Title\n\nA"), blocks.add(" word.\n"), blocks.end()
        ([], ['# Title\n'], ['A word.\n'])
        """
        *lines, rest = text.split("\n")
        complete = []
        for line in lines:
            complete += self._add_line("".join([*self._pieces, line]))
            self._pieces = []
        if rest:
            self._pieces.append(rest)
        return complete

    def end(self) -> list[str]:
        """Return what is left, as the last block."""
        complete = self._add_line("".join(self._pieces)) if self._pieces else []
        self._pieces = []
        return [*complete, *self._take()]

    def _add_line(self, line: str) -> list[str]:
        complete = self._take() if self._ends_here and line.strip() and not line[0].isspace() else []
        self._ends_here = (self._ends_here or bool(self._lines)) and not self._fence and not line.strip()
        if line.strip() or self._lines:
            self._lines.append(line)
        fence = FENCE.match(line)
        if fence and not self._fence:
            self._fence = fence[1]
        elif fence and fence[1].startswith(self._fence) and not line.strip().strip(self._fence[0]):
            self._fence = ""
        return complete

    def _take(self) -> list[str]:
        lines, self._lines, self._ends_here = self._lines, [], False
        text = "\n".join(lines).rstrip("\n")
        return [f"{text}\n"] if text else []
