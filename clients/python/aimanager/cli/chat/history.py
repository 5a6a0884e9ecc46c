"""The history of a chat: a conversation that the server keeps, or messages that are sent with each request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypedDict, Unpack

from ..._transport.conversation_file import SavedConversation, read_conversation, write_conversation
from ...client import AIManager
from ...conversation import Conversation
from ...errors import AIError, ConfigurationError, InvalidRequestError
from ...messages import Message
from ...options import RequestOptions
from ...stream import AIStream
from ...v1 import conversation_pb2 as pb
from ...v1.content_pb2 import Role
from .state_files import forget_last_conversation

LABELS = {"client": "aimanager chat"}
MAX_TITLE_LENGTH = 60
NOT_KEPT = "This server keeps no conversations."
SENT_EACH_TIME = "The history is sent with each message."
SAVE_INSTEAD = "Use /save FILE.json, and /load it later."


class ChatSettings(TypedDict, total=False):
    """What may be changed during a chat."""

    title: str
    model: str
    system_instruction: str


class ChatHistory(Protocol):
    """What a chat needs of its history. `settings` are the title, the model and the system instruction."""

    settings: pb.Conversation

    @property
    def conversation(self) -> Conversation | None:
        """The conversation on the server, None if it keeps none so far."""
        ...

    @property
    def turns(self) -> Sequence[pb.Turn]:
        """Return all turns, oldest first. Raises AIError."""
        ...

    @property
    def description(self) -> str:
        """Return the title and the number of turns."""
        ...

    def stream(self, message: Message, options: RequestOptions) -> AIStream:
        """Send a message after the history. Raises AIError."""
        ...

    def add(self, message: Message, answer: Message, *, interrupted: bool = False) -> None:
        """Note a message and its answer, or what was received of an answer that was interrupted."""
        ...

    def update(self, **settings: Unpack[ChatSettings]) -> None:
        """Change the title, the model or the system instruction. Raises AIError."""
        ...

    def fork(self, turn: int | None) -> ChatHistory:
        """Return a copy that ends before a turn, or a copy of all. Raises AIError."""
        ...

    def load(self, saved: SavedConversation) -> ChatHistory:
        """Return the history of a saved conversation. Raises AIError."""
        ...


class ServerHistory:
    """A conversation on the server, created with the first message or by `open`.

    What was said since then is noted here too: if the server loses the conversation, `recover` starts another one.
    """

    def __init__(self, client: AIManager, settings: pb.Conversation, turns: Sequence[pb.NewTurn] = ()) -> None:
        self.settings = settings
        self._client = client
        self._noted = list(turns)
        self._first_noted = 0
        self._conversation: Conversation | None = None

    @classmethod
    def of(cls, client: AIManager, conversation: Conversation) -> ServerHistory:
        """Return the history of a conversation that exists."""
        history = cls(client, conversation.proto)
        history._conversation, history._first_noted = conversation, conversation.turn_count
        return history

    @property
    def conversation(self) -> Conversation | None:
        """The conversation on the server, None before the first message."""
        return self._conversation

    @property
    def noted(self) -> SavedConversation:
        """The settings, and the turns that are noted here."""
        return SavedConversation(self.settings, tuple(self._noted))

    @property
    def turns(self) -> Sequence[pb.Turn]:
        """Return all turns, fetched from the server; those that are noted if it has no conversation."""
        if self._conversation is not None:
            return [turn.proto for turn in self._conversation.turns]
        return _as_turns(self._noted)

    @property
    def description(self) -> str:
        """Return the title and the number of turns, as of the last call."""
        count = self._first_noted + len(self._noted)
        return _description(self.settings.title, count)

    def load(self, saved: SavedConversation) -> ServerHistory:
        """Return the history of a new conversation on the server."""
        loaded = ServerHistory(self._client, saved.settings, saved.turns)
        loaded.open()
        return loaded

    def open(self) -> Conversation:
        """Return the conversation, created if it does not exist. Raises AIError."""
        if self._conversation is None:
            settings = pb.Conversation(labels=LABELS)
            settings.MergeFrom(self.settings)
            self._conversation = Conversation._restore(self._client, SavedConversation(settings, self._noted))
        return self._conversation

    def recover(self) -> bool:
        """Start another conversation with what is noted, as the server lost this one. Return whether it had one."""
        had_one, self._conversation, self._first_noted = self._conversation is not None, None, 0
        return had_one

    def stream(self, message: Message, options: RequestOptions) -> AIStream:
        """Send the message alone; the server adds the history."""
        if not self.settings.title:
            self.settings.title = title_of(message)
        return self.open().request(message, **options).stream()

    def add(self, message: Message, answer: Message, *, interrupted: bool = False) -> None:
        """Note a turn, which the server has stored."""
        self._noted.append(pb.NewTurn(messages=[message, answer], interrupted=interrupted))

    def update(self, **settings: Unpack[ChatSettings]) -> None:
        """Change settings, also those of the conversation on the server."""
        if self._conversation is not None:
            self._conversation.update(**settings)
        for name, value in settings.items():
            setattr(self.settings, name, value)

    def fork(self, turn: int | None) -> ServerHistory:
        """Return the history of a copy on the server."""
        if self._conversation is None:
            raise InvalidRequestError("The chat has no turns to copy.", "Send a message first.")
        copy = ServerHistory.of(self._client, self._conversation.fork(turn))
        copy._first_noted = self._first_noted if turn is None else min(turn, self._first_noted)
        copy._noted = self._noted[: None if turn is None else max(0, turn - self._first_noted)]
        return copy


class LocalHistory:
    """Messages that are sent with each request, for servers that keep no conversations; also kept in `file`."""

    def __init__(self, client: AIManager, saved: SavedConversation, file: Path) -> None:
        self.settings = saved.settings
        self._client = client
        self._file = file
        self._turns = _as_turns(saved.turns)

    @property
    def conversation(self) -> None:
        """None: the server keeps none."""
        return

    @property
    def turns(self) -> Sequence[pb.Turn]:
        """Return all turns."""
        return self._turns

    def stream(self, message: Message, options: RequestOptions) -> AIStream:
        """Send all messages."""
        messages = [each for turn in self._turns for each in turn.messages]
        request: RequestOptions = {
            **options,
            "model": self.settings.model or None,
            "system": self.settings.system_instruction or None,
        }
        return self._client.stream([*messages, message], **request)

    def add(self, message: Message, answer: Message, *, interrupted: bool = False) -> None:
        """Note a turn, and write the file. Of an interrupted answer, only the text is complete."""
        if interrupted:
            answer = Message(role=answer.role, parts=[part for part in answer.parts if part.text])
        turn = pb.Turn(number=len(self._turns), messages=[message, answer], interrupted=interrupted)
        self._turns.append(turn)
        write_history(self, self._file)
        forget_last_conversation(self._file.parent)

    def update(self, **settings: Unpack[ChatSettings]) -> None:
        """Change settings of the next requests."""
        for name, value in settings.items():
            setattr(self.settings, name, value)

    @property
    def description(self) -> str:
        """Return the title and the number of turns."""
        return _description(self.settings.title, len(self._turns))

    def load(self, saved: SavedConversation) -> LocalHistory:
        """Return the history of a saved conversation."""
        return LocalHistory(self._client, saved, self._file)

    def fork(self, turn: int | None) -> ChatHistory:
        """Raise InvalidRequestError."""
        raise InvalidRequestError(NOT_KEPT, SAVE_INSTEAD)


def keeps_no_conversations(error: AIError) -> bool:
    """Return whether a call failed because the server has no service for conversations."""
    return error.reason == "UNIMPLEMENTED"


def title_of(message: Message) -> str:
    """Return the first line of a message, shortened."""
    text = "".join(part.text for part in message.parts).strip()
    line = text.splitlines()[0].strip() if text else ""
    return line if len(line) <= MAX_TITLE_LENGTH else f"{line[: MAX_TITLE_LENGTH - 1]}…"


def read_history(path: Path) -> SavedConversation:
    """Read a saved conversation. Raises ConfigurationError or InvalidRequestError."""
    try:
        return read_conversation(path)
    except FileNotFoundError:
        problem = f"{str(path)!r} does not exist: no conversation to continue."
        raise ConfigurationError(problem, "Start without -c, or pass a file that /save wrote.") from None
    except OSError as error:
        raise ConfigurationError(f"Cannot read {str(path)!r}: {error.strerror}.", "Check the path.") from error


def write_history(history: ChatHistory, path: Path) -> None:
    """Write a conversation to a JSON file. Raises ConfigurationError."""
    try:
        write_conversation(path, history.settings, history.turns)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {str(path)!r}: {error.strerror}.", "Check its folder.") from error


def to_markdown(turns: Sequence[pb.Turn]) -> str:
    """Return the texts of a conversation as Markdown."""
    return "\n\n".join(
        f"## {'You' if message.role == Role.ROLE_USER else message.model or 'Model'}\n\n{_text(message)}"
        for turn in turns
        for message in turn.messages
    )


def _description(title: str, turns: int) -> str:
    return f"{title or 'without a title'}, {count_turns(turns)}"


def count_turns(count: int) -> str:
    """Return a number of turns in words.

    >>> count_turns(1), count_turns(2)
    ('1 turn', '2 turns')
    """
    return f"{count} {'turn' if count == 1 else 'turns'}"


def _as_turns(turns: Sequence[pb.NewTurn]) -> list[pb.Turn]:
    return [
        pb.Turn(number=number, messages=turn.messages, pinned=turn.pinned, interrupted=turn.interrupted)
        for number, turn in enumerate(turns)
    ]


def _text(message: Message) -> str:
    files = [f"[{part.attachment.filename or 'file'}]" for part in message.parts if part.HasField("attachment")]
    return "\n\n".join(filter(None, ["".join(part.text for part in message.parts).strip(), *files]))
