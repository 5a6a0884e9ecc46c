"""Open the stores that the settings name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.errors import StartupError
from ..config.storage import SQLITE_URL, StorageSettings
from ..core.errors import StorageUnavailable
from .attachments import AttachmentStore
from .conversations import ConversationStore
from .encryption import cipher_of
from .file_systems import network_file_system
from .memory_conversations import MemoryConversations

if TYPE_CHECKING:
    from .sql.database import Database

INSTALL = "pip install 'aimanager[storage]'"


@dataclass(frozen=True, slots=True)
class Storage:
    """The stores of a server. `prepare` makes them usable, and raises StartupError if they are not."""

    conversations: ConversationStore
    attachments: AttachmentStore
    reconfigure: Callable[[StorageSettings], None]
    prepare: Callable[[], Awaitable[None]]
    aclose: Callable[[], Awaitable[None]]


def open_storage(settings: StorageSettings, now: Callable[[], float]) -> Storage:
    """Return the stores; nothing is connected before `prepare`.

    Raises StartupError if a package is missing, a key file is invalid, or a SQLite file is on a network file system.
    """
    if settings.url is None:
        memory = MemoryConversations(settings, now)
        return Storage(memory, memory, memory.reconfigure, _nothing, _nothing)
    check_file_system(settings)
    try:
        from .sql.attachments import SqlAttachments
        from .sql.conversations import SqlConversations
        from .sql.database import Database

        database = Database(settings)
        cipher = cipher_of(settings.encryption_key_file)
    except ModuleNotFoundError as error:
        raise StartupError(f"storage.url needs the package {error.name}: {INSTALL}") from error
    attachments = SqlAttachments(database, cipher)

    async def prepare() -> None:
        await _prepare(database, settings)

    return Storage(
        SqlConversations(database, cipher, attachments, now), attachments, lambda _: None, prepare, database.aclose
    )


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
    from .sql.database import display_url
    from .sql.schema import check_version, migrate

    try:
        await (migrate(database) if settings.migrate else check_version(database))
    except StorageUnavailable as error:
        raise StartupError(
            f"The database {display_url(database.url)} cannot be used: {error.__cause__}"[:500]
        ) from error


async def _nothing() -> None:
    pass
