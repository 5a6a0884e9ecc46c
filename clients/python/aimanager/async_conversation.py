"""A conversation whose history the server keeps, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

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
from ._convert.operation import STREAM_TIMEOUT
from ._convert.output_format import OutputType
from ._convert.prompt import Prompt
from ._convert.requests import StreamOperation
from ._transport.channel import AsyncChannel
from ._transport.conversation_file import SavedConversation, read_conversation, write_conversation
from ._transport.file_reading import build_operation
from .chainable_request import AsyncChainableRequest
from .errors import AIError
from .messages import Attachment, AttachmentSource, Message, attachment
from .options import GenerationOptions, OnInterruption, RequestOptions
from .stream import AsyncAIStream
from .types.conversation import Compaction, ConversationState, ConversationTurn
from .types.response import AIResponse
from .v1 import conversation_pb2

if TYPE_CHECKING:
    from .async_client import AsyncAIManager

Value = TypeVar("Value")


class AsyncConversation(ConversationState):
    """The asyncio version of Conversation. `history` and `turns` are awaited; files are read in a thread.

    >>> import asyncio
    >>> from aimanager import AsyncAIManager
    >>> async def talk() -> int:
    ...     async with AsyncAIManager.gateway(target) as ai:
    ...         conversation = await ai.conversation(title="Trip")
    ...         await conversation.request("My name is Ada. [[reply: Hello, Ada.]]").send()
    ...         return len(await conversation.history)
    >>> asyncio.run(talk())
    2
    """

    def __init__(self, channel: AsyncChannel, defaults: CallDefaults, proto: conversation_pb2.Conversation) -> None:
        self.proto = proto
        self._channel = channel
        self._defaults = defaults
        self._files: list[Attachment] = []

    @overload
    def request(
        self, prompt: Prompt, *, output: OutputType[Value], **options: Unpack[GenerationOptions]
    ) -> AsyncChainableRequest[Value]: ...
    @overload
    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AsyncChainableRequest[Any]: ...
    def request(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> AsyncChainableRequest[Any]:
        """Return a request that is not sent yet. Takes the options of AIManager.request."""
        return AsyncChainableRequest(self, prompt, options)

    async def add_file(self, file: AttachmentSource) -> None:
        """Attach a file to the next request, whether that succeeds or not, like Conversation.add_file."""
        self._files.append(await asyncio.to_thread(attachment, file))

    async def append(self, prompt: Prompt, *, pinned: bool = False) -> None:
        """Add messages as one turn without generating a response. Raises AIError."""
        self.proto = await self._channel.call(append_messages(self.id, prompt, pinned=pinned))

    @property
    async def turns(self) -> list[ConversationTurn]:
        """Turns of the conversation, oldest first, fetched from the server. Raises AIError."""
        return [ConversationTurn(turn) async for turn in self._read_turns()]

    @property
    async def history(self) -> list[Message]:
        """Messages of all turns, oldest first, fetched from the server. Raises AIError."""
        return [message async for turn in self._read_turns() for message in turn.messages]

    async def refresh(self) -> None:
        """Fetch the attributes. Raises AIError."""
        self.proto = await self._channel.call(get_conversation(self.id))

    async def update(
        self,
        *,
        title: str | None = None,
        model: str | None = None,
        system_instruction: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Change the settings that are not None. Labels are replaced as a whole. Raises AIError."""
        operation = update_conversation(self.id, title, model, system_instruction, labels, self._defaults)
        self.proto = await self._channel.call(operation)

    async def fork(self, turn: int | None = None, *, title: str | None = None) -> AsyncConversation:
        """Copy the turns before `turn`, or all, to a new conversation, like Conversation.fork. Raises AIError."""
        copy = await self._channel.call(fork_conversation(self.id, turn, title))
        return AsyncConversation(self._channel, self._defaults, copy)

    async def compact(
        self,
        *,
        keep_turns: int | None = None,
        model: str | None = None,
        native: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109  # the server observes it too
    ) -> Compaction:
        """Have a model summarize all turns but the newest, like Conversation.compact. Raises AIError."""
        operation = compact_conversation(self.id, keep_turns, model, timeout, self._defaults, native=native)
        self.proto, compaction = await self._channel.call(operation)
        return compaction

    async def pin(self, turn: int, *, pinned: bool = True) -> None:
        """Pin a turn, so that it is never left out to make a prompt fit the model, or unpin it. Raises AIError."""
        await self._channel.call(pin_turn(self.id, turn, pinned=pinned))

    async def delete(self) -> None:
        """Delete the conversation with its messages and files. Raises AIError."""
        await self._channel.call(delete_conversation(self.id))

    async def save(self, path: str | PathLike[str]) -> None:
        """Write settings, messages and pins to a JSON file that only this user can read, like Conversation.save."""
        await self.refresh()
        turns = [turn async for turn in self._read_turns()]
        await asyncio.to_thread(write_conversation, path, self.proto, turns)

    @classmethod
    async def load(cls, ai: AsyncAIManager, path: str | PathLike[str]) -> Self:
        """Create a conversation with the settings, messages and pins that `save` wrote, like Conversation.load."""
        return await cls._restore(ai, await asyncio.to_thread(read_conversation, path))

    @classmethod
    async def _restore(cls, ai: AsyncAIManager, saved: SavedConversation) -> Self:
        """Create a conversation with these settings and turns, or none. Raises AIError."""
        channel, turns = ai._channel, saved.turns
        creation = create_copy(saved.settings, turns[: count_first_turns(turns)])
        restored = cls(channel, ai._settings.defaults, await channel.call(creation))
        try:
            for turn in turns[restored.turn_count :]:  # all of them if the server is too old to create it with turns
                restored.proto = await channel.call(append_turn(restored.id, turn))
        except BaseException:  # also if the caller gives up
            with suppress(AIError):
                await restored.delete()
            raise
        return restored

    async def _send(self, prompt: Prompt, options: RequestOptions) -> AIResponse[Any]:
        options = self._with_files(options)
        operation = await build_operation(lambda: generate_turn(self.proto, prompt, options, self._defaults), options)
        return await self._channel.call(operation)

    def _stream(self, prompt: Prompt, options: RequestOptions, on_interruption: OnInterruption) -> AsyncAIStream[Any]:
        self._defaults.require_streaming()
        self._defaults.timeout_for(options.get("timeout"), STREAM_TIMEOUT)  # an invalid one fails here, not on a read
        options = self._with_files(options)

        async def build() -> StreamOperation:
            return await build_operation(
                lambda: stream_turn(self.proto, prompt, options, self._defaults, on_interruption), options
            )

        return AsyncAIStream(self._channel, build)

    def _with_files(self, options: RequestOptions) -> RequestOptions:
        files, self._files = self._files, []
        return with_files(options, files)

    async def _read_turns(self) -> AsyncIterator[conversation_pb2.Turn]:
        token = ""
        while True:
            page = await self._channel.call(list_turns(self.id, token))
            for turn in page.turns:
                yield turn
            token = page.next_page_token
            if not token:
                return
