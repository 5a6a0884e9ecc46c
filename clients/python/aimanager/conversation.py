"""A conversation whose history the server keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, Unpack, overload

from ._convert.conversations import (
    append_messages,
    append_turn,
    compact_conversation,
    count_first_turns,
    create_copy,
    delete_conversation,
    fork_conversation,
    generate_turn,
    get_conversation,
    list_turns,
    pin_turn,
    stream_turn,
    update_conversation,
    with_files,
)
from ._convert.defaults import CallDefaults
from ._convert.output_format import OutputType
from ._convert.prompt import Prompt
from ._transport.channel import SyncChannel
from ._transport.conversation_file import SavedConversation, read_conversation, write_conversation
from .chainable_request import ChainableRequest
from .errors import AIError
from .messages import Attachment, AttachmentSource, Message, attachment
from .options import GenerationOptions, OnInterruption, RequestOptions
from .stream import AIStream
from .types.conversation import Compaction, ConversationState, ConversationTurn
from .types.response import AIResponse
from .v1 import conversation_pb2

if TYPE_CHECKING:
    from .client import AIManager

Value = TypeVar("Value")


class Conversation(ConversationState):
    """A conversation whose history the server keeps, so that each request sends only its new messages.

    `AIManager.conversation` creates it or continues one. Its attributes are as of the last call that returned them;
    `history` and `turns` are fetched. One call at a time adds to it: another one raises ConversationBusyError.

    >>> conversation = ai.conversation(title="Trip")
    >>> print(conversation.request("My name is Ada. [[reply: Hello, Ada.]]").send())
    Hello, Ada.
    >>> print(conversation.request("What is my name? [[reply: Ada.]]").send())
    Ada.
    >>> len(conversation.history)
    4
    """

    def __init__(self, channel: SyncChannel, defaults: CallDefaults, proto: conversation_pb2.Conversation) -> None:
        self.proto = proto
        self._channel = channel
        self._defaults = defaults
        self._files: list[Attachment] = []

    @overload
    def request(
        self, prompt: Prompt, *, output: OutputType[Value], **options: Unpack[GenerationOptions]
    ) -> ChainableRequest[Value]: ...
    @overload
    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> ChainableRequest[Any]: ...
    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> ChainableRequest[Any]:
        """Return a request that is not sent yet. Takes the options of AIManager.request.

        >>> print(ai.conversation().request("[[reply: Hello.]]", max_tokens=9).with_temperature(0.5).send())
        Hello.
        """
        return ChainableRequest(self, prompt, options)

    def add_file(self, file: AttachmentSource) -> None:
        """Attach a file to the next request, whether that succeeds or not. A path is read at once.

        Takes what AIManager.request takes as attachments. Raises InvalidRequestError for an unreadable file.

        >>> conversation = ai.conversation()
        >>> conversation.add_file(b"a,b")
        >>> conversation.request("[[reply: A table.]]").send().usage.input_tokens > 3
        True
        """
        self._files.append(attachment(file))

    def append(self, prompt: Prompt, *, pinned: bool = False) -> None:
        """Add messages as one turn without generating a response. Raises AIError.

        >>> conversation = ai.conversation()
        >>> conversation.append([("user", "My name is Ada."), ("assistant", "Hello, Ada.")])
        >>> conversation.message_count
        2
        """
        self.proto = self._channel.call(append_messages(self.id, prompt, pinned=pinned))

    @property
    def turns(self) -> list[ConversationTurn]:
        """Turns of the conversation, oldest first, fetched from the server. Raises AIError.

        >>> conversation = ai.conversation()
        >>> conversation.append("Remember this.", pinned=True)
        >>> conversation.turns
        [ConversationTurn(number=0, is_pinned=True)]
        """
        return list(map(ConversationTurn, self._read_turns()))

    @property
    def history(self) -> list[Message]:
        """Messages of all turns, oldest first, fetched from the server. Raises AIError.

        >>> conversation = ai.conversation()
        >>> conversation.append("Hi")
        >>> [message.parts[0].text for message in conversation.history]
        ['Hi']
        """
        return [message for turn in self._read_turns() for message in turn.messages]

    def refresh(self) -> None:
        """Fetch the attributes. Raises AIError.

        >>> conversation = ai.conversation()
        >>> answer = conversation.request("Hi").send()
        >>> conversation.refresh()
        >>> conversation.turn_count
        1
        """
        self.proto = self._channel.call(get_conversation(self.id))

    def update(
        self,
        *,
        title: str | None = None,
        model: str | None = None,
        system_instruction: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Change the settings that are not None. Labels are replaced as a whole. Raises AIError.

        >>> conversation = ai.conversation(title="Trip")
        >>> conversation.update(title="Trip to Rome", labels={"team": "travel"})
        >>> conversation.title
        'Trip to Rome'
        """
        operation = update_conversation(self.id, title, model, system_instruction, labels, self._defaults)
        self.proto = self._channel.call(operation)

    def fork(self, turn: int | None = None, *, title: str | None = None) -> Conversation:
        """Copy the turns before `turn`, or all, to a new conversation, in which that turn can go another way.

        Raises AIError.

        >>> conversation = ai.conversation()
        >>> answers = [conversation.request(prompt).send() for prompt in ("One", "Two")]
        >>> other = conversation.fork(turn=1)
        >>> other.turn_count, other.forked_from == conversation.id
        (1, True)
        """
        copy = self._channel.call(fork_conversation(self.id, turn, title))
        return Conversation(self._channel, self._defaults, copy)

    def compact(
        self,
        *,
        keep_turns: int | None = None,
        model: str | None = None,
        native: bool = False,
        timeout: float | None = None,
    ) -> Compaction:
        """Have a model summarize all turns but the newest, 4 by default. Requests then send the summary in their place.

        The turns stay in `history`. The gateway decides about the model unless you pass one. `native` also has the
        provider compact the turns in a form of its own, a second billed request, if it can. Raises AIError.

        >>> conversation = ai.conversation(model="mock/latest")
        >>> answers = [conversation.request(prompt).send() for prompt in ("One", "Two")]
        >>> conversation.compact(keep_turns=1).turns
        1
        """
        operation = compact_conversation(self.id, keep_turns, model, timeout, self._defaults, native=native)
        self.proto, compaction = self._channel.call(operation)
        return compaction

    def pin(self, turn: int, *, pinned: bool = True) -> None:
        """Pin a turn, so that it is never left out to make a prompt fit the model, or unpin it. Raises AIError.

        >>> conversation = ai.conversation()
        >>> conversation.append("Answer in Latin.")
        >>> conversation.pin(0)
        """
        self._channel.call(pin_turn(self.id, turn, pinned=pinned))

    def delete(self) -> None:
        """Delete the conversation with its messages and files. Raises AIError.

        >>> ai.conversation().delete()
        """
        self._channel.call(delete_conversation(self.id))

    def save(self, path: str | PathLike[str]) -> None:
        """Write settings, messages and pins to a JSON file that only this user can read. An existing file is replaced.

        Raises OSError if the file cannot be written, and AIError.

        >>> from tempfile import mkdtemp
        >>> ai.conversation().save(f"{mkdtemp()}/trip.json")
        """
        self.refresh()
        write_conversation(path, self.proto, self._read_turns())

    @classmethod
    def load(cls, ai: AIManager, path: str | PathLike[str]) -> Self:
        """Create a conversation with the settings, messages and pins that `save` wrote.

        Raises OSError if the file cannot be read, InvalidRequestError if it is broken or has another version, and
        AIError; then nothing is created.

        >>> from tempfile import mkdtemp
        >>> conversation, path = ai.conversation(title="Trip"), f"{mkdtemp()}/trip.json"
        >>> conversation.append("My name is Ada.")
        >>> conversation.save(path)
        >>> loaded = Conversation.load(ai, path)
        >>> loaded.title, loaded.history == conversation.history, loaded.id == conversation.id
        ('Trip', True, False)
        """
        return cls._restore(ai, read_conversation(path))

    @classmethod
    def _restore(cls, ai: AIManager, saved: SavedConversation) -> Self:
        """Create a conversation with these settings and turns, or none. Raises AIError."""
        channel, turns = ai._channel, saved.turns
        creation = create_copy(saved.settings, turns[: count_first_turns(turns)])
        restored = cls(channel, ai._settings.defaults, channel.call(creation))
        try:
            for turn in turns[restored.turn_count :]:  # all of them if the server is too old to create it with turns
                restored.proto = channel.call(append_turn(restored.id, turn))
        except BaseException:  # also if the caller gives up
            with suppress(AIError):
                restored.delete()
            raise
        return restored

    def _send(self, prompt: Prompt, options: RequestOptions) -> AIResponse[Any]:
        return self._channel.call(generate_turn(self.proto, prompt, self._with_files(options), self._defaults))

    def _stream(self, prompt: Prompt, options: RequestOptions, on_interruption: OnInterruption) -> AIStream[Any]:
        self._defaults.require_streaming()
        options = self._with_files(options)
        return AIStream(self._channel, stream_turn(self.proto, prompt, options, self._defaults, on_interruption))

    def _with_files(self, options: RequestOptions) -> RequestOptions:
        files, self._files = self._files, []
        return with_files(options, files)

    def _read_turns(self) -> Iterator[conversation_pb2.Turn]:
        token = ""
        while True:
            page = self._channel.call(list_turns(self.id, token))
            yield from page.turns
            token = page.next_page_token
            if not token:
                return


Session: TypeAlias = Conversation
"""The name that the design document has for a conversation."""
