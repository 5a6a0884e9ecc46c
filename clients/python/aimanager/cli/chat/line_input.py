"""Read what is typed: with editing and history on a terminal, else line by line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..console import Console

PROMPT = "> "
CONTINUED = "\\"

ReadMessage = Callable[[], str | None]
"""Return the next message or command; None at the end of the input."""


def line_input(console: Console) -> ReadMessage:
    """Read lines. One that ends with a backslash continues on the next."""

    def read() -> str | None:
        lines: list[str] = []
        while True:
            if console.stdin.isatty():
                console.write_to_stderr(PROMPT)
            line = console.stdin.readline()
            if not line and not lines:
                return None
            text = line.rstrip("\n")
            if not line or not text.endswith(CONTINUED):
                return "\n".join([*lines, text])
            lines.append(text.removesuffix(CONTINUED))

    return read


def terminal_input(history: Path) -> ReadMessage:
    """Read with prompt_toolkit: Enter sends, Alt-Enter or a backslash before Enter continues, history persists.

    Pasted lines stay one message. Raises ImportError if prompt_toolkit is not installed.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    os.close(os.open(history, os.O_CREAT | os.O_WRONLY, 0o600))
    keys = KeyBindings()
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history)), multiline=True, key_bindings=keys)

    @Condition
    def is_continued() -> bool:
        return session.default_buffer.document.text_before_cursor.endswith(CONTINUED)

    @keys.add("enter", filter=~is_continued)
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("enter", filter=is_continued)
    def _continue(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor()
        event.current_buffer.insert_text("\n")

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    def read() -> str | None:
        try:
            return session.prompt(PROMPT, prompt_continuation="  ")
        except EOFError:
            return None

    return read
