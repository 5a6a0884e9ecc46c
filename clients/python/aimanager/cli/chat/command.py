"""The loop of `aimanager chat`: read a message or a command, show the answer."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...client import AIManager
from ...errors import AIError, ConversationNotFoundError, InvalidRequestError, StreamInterruptedError
from ...messages import Message, user
from ...options import RequestOptions
from ...types.response import AIResponse
from ..console import Console, shell_solution
from ..sampling_arguments import add_sampling_arguments, sampling_options
from ..summary import summary_line
from .history import NOT_KEPT, SENT_EACH_TIME, LocalHistory, ServerHistory, count_turns, keeps_no_conversations
from .line_input import ReadMessage, line_input, terminal_input
from .screen import ShowAnswer, plain_screen, rich_screen
from .slash_commands import ChatState, is_command, run_command
from .start import start
from .state_files import (
    HISTORY,
    LAST_FILE,
    LastConversation,
    private_folder,
    state_folder,
    write_last_conversation,
)

Result = TypeVar("Result")

MISSING_EXTRA = "Install Markdown, colours and history with: pip install 'aimanager[cli]'"
LOST = "The server no longer has this conversation."
KEPT = "The conversation keeps the answer so far."
ADDED_NOTHING = "Nothing was added to the conversation."


def add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `chat`."""
    add_sampling_arguments(parser)
    continued = parser.add_mutually_exclusive_group()
    continued.add_argument(
        "-c",
        "--continue",
        dest="continued",
        nargs="?",
        const="",
        metavar="FILE",
        help="continue the last chat, or one that was saved to FILE",
    )
    continued.add_argument("--conversation", metavar="ID", help="continue a conversation of `aimanager conversations`")
    parser.add_argument("--plain", action="store_true", help="no Markdown, colours or editing")
    parser.set_defaults(keeps_conversations=True)


def chat(client: AIManager, options: argparse.Namespace, console: Console) -> int:
    """Chat until /quit or the end of the input. Returns 1 if the input is no terminal and a message failed."""
    if options.json:
        raise InvalidRequestError("chat prints no JSON.", "Use ask --json, or /save chat.json in the chat.")
    folder = private_folder(state_folder(os.environ))
    is_interactive = console.stdin.isatty() and console.stdout.isatty()
    history, notice = start(client, options, folder)
    if notice:
        console.write_line_to_stderr(notice)
    read, show = _interface(console, options, folder / HISTORY, is_interactive=is_interactive)
    loop = _Chat(ChatState(client, history), options, console, folder)
    loop.remember()
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
            console.write_line_to_stderr(f"aimanager: {error} {shell_solution(error)}".rstrip())
        except KeyboardInterrupt:
            if not is_interactive:
                raise
    return 1 if failed and not is_interactive else 0


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
    def __init__(self, state: ChatState, options: argparse.Namespace, console: Console, folder: Path) -> None:
        self._state = state
        self._console = console
        self._folder = folder
        self._remembered: LastConversation | None = None
        self._is_verbose = options.verbose or console.stderr.isatty()
        sampling = sampling_options(options)
        sampling["model"] = sampling["system"] = None  # the history has them
        self._options: RequestOptions = {**sampling, "extract_artifacts": False}

    def send(self, text: str, show: ShowAnswer) -> None:
        """Send a message and show the answer. Raises AIError."""
        message = user(text, *self._state.attachments)
        response = self._with_conversation(lambda: self._answer(message, show))
        self._state.attachments.clear()
        for warning in response.warnings:
            self._console.write_line_to_stderr(f"warning: {warning.field}: {warning.message}")
        if self._is_verbose:
            self._console.write_line_to_stderr(summary_line(response))

    def run(self, text: str) -> bool:
        """Run a command. Returns whether the chat goes on. Raises AIError."""
        shown = self._with_conversation(lambda: run_command(text, self._state))
        if shown is not None:
            self._console.write_line_to_stderr(shown)
            self.remember()
        return shown is not None

    def _with_conversation(self, act: Callable[[], Result]) -> Result:
        """Act, once more in another conversation if the server lost this one, or without if it keeps none."""
        history = self._state.history
        try:
            return act()
        except ConversationNotFoundError:
            if self._state.history is not history or not isinstance(history, ServerHistory) or not history.recover():
                raise
            turns = count_turns(len(history.noted.turns))
            self._notice(f"{LOST} It goes on as a new one, with the {turns} of this session.")
            return act()
        except AIError as error:
            if not keeps_no_conversations(error) or not isinstance(history, ServerHistory):
                raise
            file = self._folder / LAST_FILE
            self._notice(f"{NOT_KEPT} {SENT_EACH_TIME} It is kept in {file}.")
            self._state.history = LocalHistory(self._state.client, history.noted, file)
            return act()

    def _answer(self, message: Message, show: ShowAnswer) -> AIResponse:
        history = self._state.history
        with history.stream(message, self._options) as stream:
            try:
                response = show(stream)
            except (KeyboardInterrupt, StreamInterruptedError):
                self._keep_partial(message, stream.partial.message)
                raise
        history.add(message, response.message)
        self.remember()
        return response

    def _keep_partial(self, message: Message, received: Message) -> None:
        if not received.parts:
            self._notice(ADDED_NOTHING)
            return
        self._state.history.add(message, received, interrupted=True)
        self._state.attachments.clear()
        self.remember()
        self._notice(KEPT)

    def remember(self) -> None:
        """Keep which conversation -c continues. Raises ConfigurationError."""
        conversation = self._state.history.conversation
        if conversation is None:
            return
        last = LastConversation(conversation.id, self._state.client.target)
        if last != self._remembered:
            write_last_conversation(self._folder, last)
            self._remembered = last

    def _notice(self, text: str) -> None:
        self._console.write_line_to_stderr(f"aimanager: {text}")
