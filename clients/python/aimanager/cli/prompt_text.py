"""Read the prompt of `ask`: words, standard input, or both."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidRequestError
from .console import Console

STDIN = "-"
EXAMPLES = 'Pass it: aimanager ask "Why is the sky blue?", or pipe it: git diff | aimanager ask "Explain this."'


def read_prompt(words: Sequence[str], console: Console) -> str:
    """Return the words, after what is piped in, if anything. Raises InvalidRequestError if neither has any text.

    A single `-` reads standard input also from a terminal.
    """
    asked = " ".join(word for word in words if word != STDIN)
    piped = console.stdin.read() if STDIN in words or not console.stdin.isatty() else ""
    if not (asked.strip() or piped.strip()):
        raise InvalidRequestError("The prompt is empty.", EXAMPLES)
    return f"{piped.rstrip()}\n\n{asked}" if piped.strip() and asked else asked or piped
