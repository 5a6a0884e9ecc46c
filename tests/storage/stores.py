"""Stores for tests, and what they keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from aimanager_server.config.storage import StorageSettings
from aimanager_server.core.content import (
    Artifact,
    Attachment,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from aimanager_server.core.conversation import Conversation, ConversationSettings, Turn, new_conversation
from aimanager_server.core.usage import Cost, Usage, UsageSource
from aimanager_server.storage.attachments import AttachmentStore
from aimanager_server.storage.conversations import ConversationStore
from aimanager_server.storage.sql.database import Database
from aimanager_server.storage.sql.schema import migrate
from aimanager_server.storage.sql.tables import metadata

NOW = 1_790_000_000.0
DAY = 86_400.0
IMAGE = b"\x89PNG" + bytes(range(256)) * 40
USAGE = Usage(12, 5, 3, 1, 2, UsageSource.REPORTED)
COST = Cost(1_200, 5_000, estimated=False)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Stores:
    """The stores of one kind, on one clock. `database` is None in memory."""

    conversations: ConversationStore
    attachments: AttachmentStore
    clock: Clock
    database: Database | None = None

    async def start(self, owner: str = "alice", turns: int = 0, **settings: object) -> Conversation:
        """Create a conversation with so many turns."""
        return await self.conversations.create(
            conversation(owner, **settings), [turn(number) for number in range(turns)]
        )

    async def append(self, started: Conversation, added: Turn) -> Conversation:
        """Add a turn as a call does."""
        lease = await self.conversations.acquire(started.owner, started.id, added.number, 30.0)
        return await self.conversations.append(lease, added)


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    """Open a database with empty tables."""
    opened = Database(StorageSettings(url=SecretStr(url)))
    try:
        await migrate(opened)
        async with opened.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                await connection.execute(table.delete())
        yield opened
    finally:
        await opened.aclose()


def conversation(owner: str = "alice", **settings: object) -> Conversation:
    return new_conversation(owner, ConversationSettings(**settings), NOW, DAY, 10 * DAY)  # type: ignore[arg-type]


def turn(number: int, *parts: Part, **changes: object) -> Turn:
    """Return a turn of a question, with these parts too, and an answer."""
    question = Message(Role.USER, (Text(f"question {number}"), *parts))
    answer = Message(Role.ASSISTANT, (Text(f"answer {number}"),), "mock", "mock-large")
    return Turn(number, (question, answer), NOW + number, usage=USAGE, cost=COST, **changes)  # type: ignore[arg-type]


def rich_turn(number: int = 0) -> Turn:
    """Return a turn with everything that a turn can have."""
    messages = (
        Message(Role.USER, (Text("Look — 見て \ud83d", b"\x00state"), Attachment("image/png", "a.png", IMAGE))),
        Message(
            Role.ASSISTANT,
            (
                Reasoning("hidden", redacted=True, provider_state=b"\xff\x00"),
                ToolCall("call_1", "look", '{"at": 1'),
                Attachment("application/pdf", "b.pdf", None, "https://example.com/b.pdf"),
            ),
            "claude",
            "claude-opus",
        ),
        Message(
            Role.USER,
            (ToolResult("call_1", "look", "seen", (Attachment("image/png", "", IMAGE),), is_error=True),),
        ),
        Message(Role.ASSISTANT, (Text("done"),), "openai", "gpt"),
    )
    artifacts = (
        Artifact("a1", "x.py", "text/x-python", "python", "print(1)"),
        Artifact("a2", "y", "a/b", "", None, b"y"),
    )
    return Turn(number, messages, NOW, True, True, artifacts, USAGE, COST)
