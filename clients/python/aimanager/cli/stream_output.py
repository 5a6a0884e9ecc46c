"""Print a streamed response as plain text."""

from __future__ import annotations

from .._convert.stream_state import StreamState
from ..stream import AIStream
from ..types.response import AIResponse
from ..types.stream_events import Restarted
from .console import Console
from .summary import restart_notice

INTERRUPTED = "aimanager: Interrupted. The answer is incomplete."


def print_stream(stream: AIStream, console: Console, *, show_reasoning: bool = False) -> AIResponse:
    """Print a stream as it arrives and return the response. Says on Ctrl-C that the answer is incomplete."""
    output, state = PlainOutput(console), StreamState()
    try:
        for event in stream.events:
            if isinstance(event, Restarted):
                output.restart(event)
                state = StreamState()
            elif piece := state.piece(event):
                if show_reasoning:
                    output.write_reasoning(piece.reasoning)
                output.write(piece.content)
    except KeyboardInterrupt:
        output.end_line()
        console.write_line_to_stderr(INTERRUPTED)
        raise
    finally:
        output.end_line()
    return stream.response


class PlainOutput:
    """Prints text that cannot be revoked: answers to standard output, reasoning to standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._in_line = False
        self._in_reasoning = False

    def write(self, text: str) -> None:
        """Print more of the response."""
        if text:
            self._end_reasoning()
            self._in_line = not text.endswith("\n")  # before the text, as Ctrl-C may come right after it
            self._console.write(text)

    def write_reasoning(self, text: str) -> None:
        """Print more of the reasoning."""
        if text:
            self._in_reasoning = True
            self._console.write_to_stderr(text)

    def end_line(self) -> None:
        """End the current line, if any."""
        self._end_reasoning()
        if self._in_line:
            self.write("\n")

    def restart(self, restarted: Restarted) -> None:
        """Print a notice that the text so far is void; also on standard output if stderr is not the terminal."""
        self.end_line()
        notice = restart_notice(restarted)
        self._console.write_line_to_stderr(notice)
        if not self._console.stderr.isatty():
            self.write(f"--- {notice} ---\n")

    def _end_reasoning(self) -> None:
        if self._in_reasoning:
            self._in_reasoning = False
            self._console.write_to_stderr("\n\n")
