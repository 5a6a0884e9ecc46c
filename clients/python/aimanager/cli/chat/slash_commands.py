"""What may be typed in a chat besides messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ...client import AIManager
from ...errors import AIError, ConversationNotFoundError, InvalidRequestError
from ...messages import attachment
from ...types.conversation import ConversationTurn
from ...v1.content_pb2 import Attachment
from ..conversations import conversations_table, require_new, turn_lines
from .history import (
    NOT_KEPT,
    SAVE_INSTEAD,
    ChatHistory,
    ServerHistory,
    keeps_no_conversations,
    read_history,
    to_markdown,
    write_history,
)
from .state_files import write_private

HELP = """\
/model [NAME]    use another model from now on; without a name, show the current one
/system [TEXT]   use another system instruction from now on; "" removes it
/attach PATH     attach a file to the next message
/history         show the conversation
/fork [TURN]     continue in a copy of the conversation, which ends before this turn
/rename TITLE    give the conversation a title
/list            list the conversations that the server keeps, the one used last first
/open ID         continue one of them
/save FILE       save the conversation: as JSON if the name ends with .json, else as Markdown
/load FILE       continue a conversation that was saved as JSON
/help            show this
/quit            leave; also Ctrl-D
A line that ends with \\ continues on the next one. `aimanager chat -c` continues the last chat."""

MAX_LISTED = 20


@dataclass
class ChatState:
    """The client of a chat, its history, and the files for its next message."""

    client: AIManager
    history: ChatHistory
    attachments: list[Attachment] = field(default_factory=list)


def is_command(text: str) -> bool:
    """Return whether the text is a command, not a message. A path such as /etc/hosts is a message.

    >>> is_command("/help"), is_command("/etc/hosts"), is_command("Hi")
    (True, False, False)
    """
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    return first.startswith("/") and "/" not in first[1:] and len(first) > 1


def run_command(text: str, state: ChatState) -> str | None:
    """Run a command and return what to show; None for /quit. Raises AIError."""
    name, _, argument = text.strip().partition(" ")
    if name in ("/quit", "/exit"):
        return None
    command = COMMANDS.get(name)
    if command is None:
        raise InvalidRequestError(f"{name} is not a command.", "/help lists the commands.")
    return command(argument.strip(), state)


def _model(name: str, state: ChatState) -> str:
    if name:
        state.history.update(model=name)
    return f"model: {state.history.settings.model or 'the default of the gateway'}"


def _system(text: str, state: ChatState) -> str:
    if text:
        state.history.update(system_instruction="" if text == '""' else text)
    return f"system: {state.history.settings.system_instruction or 'none'}"


def _attach(path: str, state: ChatState) -> str:
    file = attachment(_required(path, "path", "/attach photo.png"))
    state.attachments.append(file)
    return f"attached: {file.filename or file.uri} ({file.mime_type}), sent with the next message"


def _history(_: str, state: ChatState) -> str:
    turns = map(ConversationTurn, state.history.turns)
    return "\n".join(line for turn in turns for line in turn_lines(turn)).strip() or "no messages so far"


def _fork(turn: str, state: ChatState) -> str:
    if turn and not turn.isdecimal():
        raise InvalidRequestError(
            f"/fork takes the number of a turn, got {turn!r:.100}.", "/history shows the numbers."
        )
    state.history = state.history.fork(int(turn) if turn else None)
    return f"copied, and continued in the copy: {state.history.description}"


def _rename(title: str, state: ChatState) -> str:
    state.history.update(title=_required(title, "title", "/rename Trip to Rome"))
    return f"title: {state.history.settings.title}"


def _list(_: str, state: ChatState) -> str:
    with _errors_of_others():
        return conversations_table(islice(state.client.conversations.list(page_size=MAX_LISTED), MAX_LISTED))


def _open(conversation_id: str, state: ChatState) -> str:
    _required(conversation_id, "id", "/open conv_…; /list shows the ids")
    with _errors_of_others():
        state.history = ServerHistory.of(state.client, state.client.conversation(conversation_id))
    return f"continued: {state.history.description}"


def _save(name: str, state: ChatState) -> str:
    path = Path(_required(name, "path", "/save chat.md")).expanduser()
    require_new(path)
    if path.suffix == ".json":
        write_history(state.history, path)
    else:
        write_private(path, to_markdown(state.history.turns) + "\n")
    return f"saved: {path}"


def _load(name: str, state: ChatState) -> str:
    saved = read_history(Path(_required(name, "path", "/load chat.json")).expanduser())
    state.history = state.history.load(saved)
    return f"loaded: {state.history.description}"


@contextmanager
def _errors_of_others() -> Iterator[None]:
    """Raise InvalidRequestError for what does not concern the conversation of the chat."""
    try:
        yield
    except ConversationNotFoundError as error:
        raise InvalidRequestError(str(error), "/list shows the ids.") from error
    except AIError as error:
        if not keeps_no_conversations(error):
            raise
        raise InvalidRequestError(NOT_KEPT, SAVE_INSTEAD) from error


def _required(argument: str, kind: str, example: str) -> str:
    if not argument:
        article = "an" if kind == "id" else "a"
        raise InvalidRequestError(f"{example.partition(' ')[0]} needs {article} {kind}.", f"For example: {example}")
    return argument


COMMANDS: dict[str, Callable[[str, ChatState], str]] = {
    "/model": _model,
    "/system": _system,
    "/attach": _attach,
    "/history": _history,
    "/fork": _fork,
    "/rename": _rename,
    "/list": _list,
    "/open": _open,
    "/save": _save,
    "/load": _load,
    "/help": lambda _, __: HELP,
}
