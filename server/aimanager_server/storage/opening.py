"""Open the stores that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import StartupError
from ..config.settings import Settings
from ..config.storage import SQLITE_URL, StorageSettings
from ..core.errors import StorageUnavailable
from ..core.handler import Clock
from ..telemetry.redaction import redact
from ..telemetry.response_cache_metrics import ResponseCacheMetrics
from .attachments import AttachmentStore
from .conversations import ConversationStore
from .encryption import cipher_of
from .file_systems import network_file_system
from .idempotency import IdempotencyStore
from .memory_conversations import MemoryConversations
from .memory_idempotency import MemoryIdempotency
from .memory_responses import MemoryResponses
from .response_cache import ResponseStore

if TYPE_CHECKING:
    from .sql.database import Database

MAX_DELETED = 100
"""Conversations that one transaction deletes."""

INSTALL = "pip install 'aimanager[storage]'"


@dataclass(frozen=True, slots=True)
class Storage:
    """The stores of a server. `prepare` makes them usable, and raises StartupError if they are not.

    `responses` are those of the response cache, by the setting that selects them. `abort` lets `aclose` and whatever
    else waits for the database end at once. `memory` are the conversations if they are in memory.
    """

    conversations: ConversationStore
    attachments: AttachmentStore
    idempotency: IdempotencyStore
    responses: Mapping[str, ResponseStore]
    prepare: Callable[[], Awaitable[None]]
    aclose: Callable[[], Awaitable[None]]
    abort: Callable[[], None]
    memory: MemoryConversations | None = None

    @property
    def pending_responses(self) -> int:
        """Number of responses that wait to be written to the database."""
        responses = self.responses.get("storage")
        return 0 if responses is None else responses.entries

    def reconfigure(self, settings: Settings) -> None:
        """Change the limits of the stores."""
        self.idempotency.reconfigure(settings.idempotency)
        if self.memory is not None:
            self.memory.reconfigure(settings.storage)
        for responses in self.responses.values():
            responses.reconfigure(settings.response_cache)

    async def forget(self, conversation_id: str) -> None:
        """Drop all responses that were kept for calls in a conversation. Raises StorageUnavailable."""
        await self.idempotency.forget(conversation_id)
        for responses in self.responses.values():
            await responses.forget(conversation_id)

    async def delete_expired(self) -> None:
        """Delete what has expired: conversations and what was kept for their calls, and responses.

        Raises StorageUnavailable.
        """
        while deleted := await self.conversations.delete_expired(MAX_DELETED):
            for conversation_id in deleted:
                await self.forget(conversation_id)
        await self.idempotency.delete_expired()
        for responses in self.responses.values():
            await responses.delete_expired()


def open_storage(settings: Settings, metrics: ResponseCacheMetrics, now: Callable[[], float], clock: Clock) -> Storage:
    """Return the stores; nothing is connected before `prepare`. `now` returns the Unix time.

    Raises StartupError if a package is missing, a key file is invalid, or a SQLite file is on a network file system.
    """
    in_memory = MemoryResponses(settings.response_cache, metrics, now)
    if settings.storage.url is None:
        memory = MemoryConversations(settings.storage, now)
        results = MemoryIdempotency(settings.idempotency, clock)
        return Storage(memory, memory, results, {"memory": in_memory}, _nothing, _nothing, lambda: None, memory)
    check_file_system(settings.storage)
    try:
        from .sql.attachments import SqlAttachments
        from .sql.conversations import SqlConversations
        from .sql.database import Database
        from .sql.idempotency import SqlIdempotency
        from .sql.responses import SqlResponses

        database = Database(settings.storage)
        cipher = cipher_of(settings.storage.encryption_key_file)
    except ModuleNotFoundError as error:
        raise StartupError(f"storage.url needs the package {error.name}: {INSTALL}") from error
    attachments = SqlAttachments(database, cipher)
    conversations = SqlConversations(database, cipher, attachments, now)
    stored = SqlIdempotency(database, cipher, settings.idempotency, now)
    responses = SqlResponses(database, cipher, settings.response_cache, metrics, now)

    async def prepare() -> None:
        await _prepare(database, settings.storage)

    async def aclose() -> None:
        await responses.aclose()
        await stored.aclose()
        await database.aclose()

    stores: Mapping[str, ResponseStore] = {"memory": in_memory, "storage": responses}
    return Storage(conversations, attachments, stored, stores, prepare, aclose, database.abort)


def check_file_system(settings: StorageSettings) -> None:
    """Raise StartupError if the SQLite file is on a network file system or its folder does not exist."""
    match = SQLITE_URL.fullmatch(settings.plain_url)
    if match is None:
        return
    path = Path(match["path"])
    found = network_file_system(path)
    if found:
        raise StartupError(
            f"storage.url {path} is on a network file system ({found}), whose locks SQLite cannot rely on; use a local "
            "file, or PostgreSQL."
        )
    if not path.parent.is_dir():
        raise StartupError(f"storage.url: the folder {path.parent} does not exist.")


async def _prepare(database: Database, settings: StorageSettings) -> None:
    from .sql.schema import check_version, migrate

    with _startup_errors(database):
        await (migrate(database) if settings.migrate else check_version(database))


@asynccontextmanager
async def sql_database(settings: StorageSettings) -> AsyncIterator[Database]:
    """Open the database of `settings.url`. Raises StartupError if it cannot be used."""
    from .sql.database import Database

    database = Database(settings)
    try:
        with _startup_errors(database):
            yield database
    finally:
        await database.aclose()


@contextmanager
def _startup_errors(database: Database) -> Iterator[None]:
    try:
        yield
    except StorageUnavailable as error:
        cause = redact(str(error.__cause__), (database.url.password or "",))
        raise StartupError(f"The database {database.name} cannot be used: {cause}"[:500]) from error


async def _nothing() -> None:
    pass
