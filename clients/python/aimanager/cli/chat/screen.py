"""Show the answers of a chat: Markdown, colours and a spinner on a terminal, else plain text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..._convert.stream_state import StreamState
from ...stream import AIStream
from ...types.response import AIResponse
from ...types.stream_events import Restarted
from ..console import Console
from ..control_characters import printable
from ..stream_output import INTERRUPTED, print_stream
from ..summary import restart_notice
from .markdown_blocks import MarkdownBlocks

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.spinner import Spinner

ShowAnswer = Callable[[AIStream], AIResponse]
"""Show a stream as it arrives and return the response. Raises AIError and KeyboardInterrupt."""

MAX_PREVIEW = 200
"""Characters of the line that is being received, shown beside the spinner."""

REFRESHES_PER_SECOND = 8


def plain_screen(console: Console, *, show_reasoning: bool) -> ShowAnswer:
    """Print the text as it arrives."""
    return lambda stream: print_stream(stream, console, show_reasoning=show_reasoning)


def rich_screen(console: Console, *, show_reasoning: bool) -> ShowAnswer:
    """Render Markdown block by block, with a spinner and the elapsed time until the end.

    Raises ImportError if rich is not installed.
    """
    from rich.console import Console as RichConsole

    screen = RichConsole(file=console.stdout, highlight=False)
    return lambda stream: _MarkdownAnswer(screen, show_reasoning=show_reasoning).show(stream)


class _MarkdownAnswer:
    def __init__(self, screen: RichConsole, *, show_reasoning: bool) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        self._screen = screen
        self._show_reasoning = show_reasoning
        self._started = time.monotonic()
        self._blocks, self._reasoning, self._state = MarkdownBlocks(), MarkdownBlocks(), StreamState()
        self._spinner = Spinner("dots")
        self._live = Live(
            get_renderable=self._progress,
            console=screen,
            transient=True,
            refresh_per_second=REFRESHES_PER_SECOND,
        )

    def show(self, stream: AIStream) -> AIResponse:
        """Read the stream to its end."""
        with self._live:
            try:
                for event in stream.events:
                    if isinstance(event, Restarted):
                        self._restart(event)
                    elif piece := self._state.piece(event):
                        self._add(piece)
            except KeyboardInterrupt:
                self._end()
                self._notice(INTERRUPTED)
                raise
            finally:
                self._end()
        return stream.response

    def _add(self, piece: AIResponse) -> None:
        if self._show_reasoning:
            self._print_reasoning(self._reasoning.add(piece.reasoning))
        if piece.content:
            self._print_reasoning(self._reasoning.end())
            self._print(self._blocks.add(piece.content))

    def _restart(self, event: Restarted) -> None:
        self._end()
        self._notice(restart_notice(event))
        self._state = StreamState()

    def _end(self) -> None:
        self._print_reasoning(self._reasoning.end())
        self._print(self._blocks.end())

    def _print(self, blocks: Iterable[str]) -> None:
        from rich.markdown import Markdown

        for block in blocks:
            self._screen.print(Markdown(printable(block), hyperlinks=False))
            self._screen.print()

    def _print_reasoning(self, blocks: Iterable[str]) -> None:
        for block in blocks:
            self._screen.print(printable(block), style="dim italic", markup=False, emoji=False)

    def _notice(self, text: str) -> None:
        self._screen.print(printable(text), style="yellow", markup=False, emoji=False)

    def _progress(self) -> Spinner:
        from rich.text import Text

        preview = printable(self._blocks.unfinished_line[-MAX_PREVIEW:])
        line = f"{time.monotonic() - self._started:.0f} s  {preview}"
        self._spinner.update(text=Text(line, style="dim", no_wrap=True, overflow="ellipsis"))
        return self._spinner
