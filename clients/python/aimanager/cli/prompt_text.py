"""Read the prompt of `ask`: words, standard input, or both."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import TextIO

from ..errors import InvalidRequestError
from .console import Console

STDIN = "-"
PATIENCE_SECONDS = 2.0
WAITING = "aimanager: Waiting for the end of standard input, which is not a terminal. Without any: </dev/null"
EXAMPLES = 'Pass it: aimanager ask "Why is the sky blue?", or pipe it: git diff | aimanager ask "Explain this."'


def has_input(stdin: TextIO, seconds: float) -> bool:
    """Return whether something or the end arrives in time; True if that cannot be found out."""
    try:
        readable, _, _ = select.select([stdin.fileno()], [], [], seconds)
    except (OSError, ValueError):  # no file, or a system that waits for sockets only
        return True
    return bool(readable)


def read_prompt(words: Sequence[str], console: Console) -> str:
    """Return the words, after what is piped in, if anything. Raises InvalidRequestError if neither has any text.

    A single `-` reads standard input also from a terminal.
    """
    asked = " ".join(word for word in words if word != STDIN)
    if asked and STDIN not in words and not console.stdin.isatty() and not has_input(console.stdin, PATIENCE_SECONDS):
        console.write_line_to_stderr(WAITING)
    piped = console.stdin.read() if STDIN in words or not console.stdin.isatty() else ""
    if not (asked.strip() or piped.strip()):
        raise InvalidRequestError("The prompt is empty.", EXAMPLES)
    return f"{piped.rstrip()}\n\n{asked}" if piped.strip() and asked else asked or piped
