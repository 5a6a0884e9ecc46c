"""The loop of `aimanager chat`: read a message or a command, show the answer, keep the conversation."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ...client import AIManager
from ...errors import AIError, InvalidRequestError
from ...options import RequestOptions
from ..console import Console
from ..sampling_arguments import add_sampling_arguments, sampling_options
from ..summary import summary_line
from .conversation import Conversation, load_conversation, private_folder, save_conversation, state_folder
from .line_input import ReadMessage, line_input, terminal_input
from .screen import ShowAnswer, plain_screen, rich_screen
from .slash_commands import ChatState, is_command, run_command

LAST_CHAT = "chat.json"
HISTORY = "history"
MISSING_EXTRA = "Install Markdown, colours and history with: pip install 'aimanager[cli]'"


def add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `chat`."""
    add_sampling_arguments(parser)
    parser.add_argument(
        "-c",
        "--continue",
        dest="continued",
        nargs="?",
        const="",
        metavar="FILE",
        help="continue the last chat, or FILE",
    )
    parser.add_argument("--plain", action="store_true", help="no Markdown, colours or editing")


def chat(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Chat until /quit or the end of the input. Returns 1 if the input is no terminal and a message failed."""
    if options.json:
        raise InvalidRequestError("chat prints no JSON.", "Use ask --json, or /save chat.json in the chat.")
    folder = private_folder(state_folder(os.environ))
    conversation = _start(options, folder)
    is_interactive = console.stdin.isatty() and console.stdout.isatty()
    read, show = _interface(console, options, folder / HISTORY, is_interactive=is_interactive)
    loop = _Chat(client, options, console, ChatState(conversation), folder / LAST_CHAT)
    failed = False
    while (text := _read(read, console)) is not None:
        if not text.strip():
            continue
        try:
            if not is_command(text):
                loop.send(text, show)
            elif not loop.run(text):
                break
        except AIError as error:
            failed = True
            console.write_line_to_stderr(f"aimanager: {error} {error.solution}".rstrip())
        except KeyboardInterrupt:
            if not is_interactive:
                raise
    return 1 if failed and not is_interactive else 0


def _start(options: argparse.Namespace, folder: Path) -> Conversation:
    if options.continued is None:
        conversation = Conversation()
    else:
        conversation = load_conversation(
            Path(options.continued).expanduser() if options.continued else folder / LAST_CHAT
        )
    conversation.model = options.model or conversation.model
    conversation.system = options.system or conversation.system
    return conversation


def _interface(
    console: Console, options: argparse.Namespace, history: Path, *, is_interactive: bool
) -> tuple[ReadMessage, ShowAnswer]:
    if is_interactive and not options.plain:
        try:
            return terminal_input(history), rich_screen(console, show_reasoning=options.show_reasoning)
        except ImportError:
            console.write_line_to_stderr(MISSING_EXTRA)
    return line_input(console), plain_screen(console, show_reasoning=options.show_reasoning)


def _read(read: ReadMessage, console: Console) -> str | None:
    """Return the next input. Ctrl-C abandons a line on a terminal, and ends the command elsewhere."""
    while True:
        try:
            return read()
        except KeyboardInterrupt:
            if not console.stdin.isatty():
                raise
            console.write_line_to_stderr("/quit or Ctrl-D leaves.")


class _Chat:
    def __init__(
        self, client: AIManager, options: argparse.Namespace, console: Console, state: ChatState, file: Path
    ) -> None:
        self._client = client
        self._options = options
        self._console = console
        self._state = state
        self._file = file

    def send(self, text: str, show: ShowAnswer) -> None:
        """Send a message, show the answer and keep both. Raises AIError."""
        state, conversation = self._state, self._state.conversation
        messages = conversation.ask(text, state.attachments)
        request: RequestOptions = {
            **sampling_options(self._options),
            "model": conversation.model,
            "system": conversation.system,
            "extract_artifacts": False,
        }
        with self._client.stream(messages, **request) as stream:
            response = show(stream)
        conversation.answered(messages, response)
        state.attachments.clear()
        save_conversation(self._file, conversation)
        for warning in response.warnings:
            self._console.write_line_to_stderr(f"warning: {warning.field}: {warning.message}")
        if self._options.verbose or self._console.stderr.isatty():
            self._console.write_line_to_stderr(summary_line(response))

    def run(self, text: str) -> bool:
        """Run a command. Returns whether the chat goes on. Raises AIError."""
        shown = run_command(text, self._state)
        if shown is not None:
            self._console.write_line_to_stderr(shown)
        return shown is not None
