"""Conversations of a caller: list, get and delete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping

from .._convert.conversations import PAGE_SIZE, delete_conversation, get_conversation, list_conversations
from .._convert.defaults import CallDefaults
from .._transport.channel import AsyncChannel, SyncChannel
from ..async_conversation import AsyncConversation
from ..conversation import Conversation


class Conversations:
    """Conversations of this caller, which the server keeps.

    >>> conversation = ai.conversation(title="Trip")
    >>> ai.conversations.get(conversation.id).title
    'Trip'
    """

    def __init__(self, channel: SyncChannel, defaults: CallDefaults) -> None:
        self._channel = channel
        self._defaults = defaults

    def list(self, *, labels: Mapping[str, str] | None = None, page_size: int = PAGE_SIZE) -> Generator[Conversation]:
        """Yield the conversations that have all `labels`, the one used last first. Fetches a page when it is needed.

        Raises AIError.

        >>> started = [ai.conversation(labels={"team": "travel"}) for _ in range(3)]
        >>> [each.id for each in ai.conversations.list(labels={"team": "travel"}, page_size=2)][:1] == [started[2].id]
        True
        """
        token = ""
        while True:
            page = self._channel.call(list_conversations(labels, page_size, token))
            for each in page.conversations:
                yield Conversation(self._channel, self._defaults, each)
            token = page.next_page_token
            if not token:
                return

    def get(self, id: str) -> Conversation:  # noqa: A002  # the word of the API
        """Return a conversation, like AIManager.conversation(id). Raises ConversationNotFoundError.

        >>> ai.conversations.get("conv_none")
        Traceback (most recent call last):
        aimanager.errors.ConversationNotFoundError: ...
        """
        proto = self._channel.call(get_conversation(id))
        return Conversation(self._channel, self._defaults, proto)

    def delete(self, id: str) -> None:  # noqa: A002
        """Delete a conversation with its messages and files. Raises ConversationNotFoundError.

        >>> ai.conversations.delete(ai.conversation().id)
        """
        self._channel.call(delete_conversation(id))


class AsyncConversations:
    """Conversations of this caller, for asyncio. Conversations describes the methods."""

    def __init__(self, channel: AsyncChannel, defaults: CallDefaults) -> None:
        self._channel = channel
        self._defaults = defaults

    async def list(
        self, *, labels: Mapping[str, str] | None = None, page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[AsyncConversation]:
        """Yield the conversations that have all `labels`, the one used last first, like Conversations.list."""
        token = ""
        while True:
            page = await self._channel.call(list_conversations(labels, page_size, token))
            for each in page.conversations:
                yield AsyncConversation(self._channel, self._defaults, each)
            token = page.next_page_token
            if not token:
                return

    async def get(self, id: str) -> AsyncConversation:  # noqa: A002
        """Return a conversation, like AsyncAIManager.conversation(id). Raises ConversationNotFoundError."""
        proto = await self._channel.call(get_conversation(id))
        return AsyncConversation(self._channel, self._defaults, proto)

    async def delete(self, id: str) -> None:  # noqa: A002
        """Delete a conversation with its messages and files. Raises ConversationNotFoundError."""
        await self._channel.call(delete_conversation(id))
