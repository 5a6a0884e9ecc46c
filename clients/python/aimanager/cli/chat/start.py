"""What a chat begins with: nothing, the last conversation, one with an id, or a saved one."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...client import AIManager
from ...errors import AIError, ConversationNotFoundError, InvalidRequestError
from ...v1 import conversation_pb2
from .history import (
    NOT_KEPT,
    SENT_EACH_TIME,
    ChatHistory,
    LocalHistory,
    ServerHistory,
    keeps_no_conversations,
    read_history,
)
from .state_files import LAST_FILE, LastConversation, read_last_conversation


def start(client: AIManager, options: argparse.Namespace, folder: Path) -> tuple[ChatHistory, str]:
    """Return the history that the arguments name, and what to say about it. Raises AIError."""
    history = _history(client, options, folder)
    if options.model is not None:
        history.update(model=options.model)
    if options.system is not None:
        history.update(system_instruction=options.system)
    if options.conversation is None and options.continued is None:
        return history, ""
    place = "" if isinstance(history, ServerHistory) else f". {NOT_KEPT} {SENT_EACH_TIME}"
    return history, f"continued: {history.description}{place}"


def _history(client: AIManager, options: argparse.Namespace, folder: Path) -> ChatHistory:
    if options.conversation is not None:
        return _kept(client, LastConversation(options.conversation, client.target))
    if options.continued is None:
        return ServerHistory(client, conversation_pb2.Conversation())
    if options.continued:
        return _saved(client, Path(options.continued).expanduser(), folder)
    last = read_last_conversation(folder)
    return _saved(client, folder / LAST_FILE, folder) if last is None else _kept(client, last)


def _kept(client: AIManager, last: LastConversation) -> ServerHistory:
    try:
        return ServerHistory.of(client, client.conversation(last.id))
    except ConversationNotFoundError as error:
        elsewhere = f" It was used with {last.target}." if last.target != client.target else ""
        raise ConversationNotFoundError(
            f"{error}{elsewhere}", "`aimanager conversations` lists those that this server keeps."
        ) from error
    except AIError as error:
        if not keeps_no_conversations(error):
            raise
        problem = f"{NOT_KEPT} Conversation {last.id!r:.100} was used with {last.target}."
        raise InvalidRequestError(problem, "Pass --target of that server, or start without -c.") from error


def _saved(client: AIManager, path: Path, folder: Path) -> ChatHistory:
    saved = read_history(path)
    history = ServerHistory(client, saved.settings, saved.turns)
    try:
        history.open()
    except AIError as error:
        if not keeps_no_conversations(error):
            raise
        return LocalHistory(client, saved, folder / LAST_FILE)
    return history
