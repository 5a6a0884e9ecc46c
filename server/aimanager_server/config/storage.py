"""Settings of conversations and of where they are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from .types import MIB, PositiveInt, ReadableFile, Seconds, Section, SectionWithFiles

DAY = 86_400.0
SQLITE_URL = re.compile(r"sqlite\+aiosqlite:///(?P<path>[^?#]+)(?P<query>\?.*)?")
POSTGRESQL_URL = re.compile(r"postgresql\+asyncpg://[^\s]+/[^\s?#]+(\?.*)?")
TtlSeconds = Annotated[float, Field(gt=0, le=3_660 * DAY)]


def user_database_url(environment: Mapping[str, str]) -> str:
    """Return the URL of a SQLite file in the user's state directory, which is created if necessary. Raises OSError."""
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home(), ".local/state")
    folder = Path(state, "aimanager").absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return f"sqlite+aiosqlite:///{folder}/conversations.db"


def _check_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if not (SQLITE_URL.fullmatch(url) or POSTGRESQL_URL.fullmatch(url)):
        raise PydanticCustomError(
            "storage_url",
            "must be sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE",
        )
    return secret


StorageUrl = Annotated[SecretStr, AfterValidator(_check_url)]
"""A URL that may contain a password."""


class StorageSettings(SectionWithFiles):
    """Where conversations and idempotent responses are kept."""

    url: StorageUrl | None = None
    """`sqlite+aiosqlite:///FILE`, or `postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE` for several servers. Unset:
    memory, which is lost when the server ends."""
    migrate: bool = True
    """Create and update the tables when the server starts; otherwise run `aimanager-server storage migrate`."""
    encryption_key_file: ReadableFile | None = None
    """Keys that encrypt messages and attachments, one `ID:KEY` a line. The first encrypts; the others only decrypt."""
    max_connections: PositiveInt = 10
    """Connections to PostgreSQL."""
    statement_timeout_seconds: Seconds = 10.0
    """How long a statement in PostgreSQL may take."""
    close_timeout_seconds: Seconds = 10.0
    """How long a server that stops waits until everything is stored. What is left then is dropped and logged."""
    max_memory_bytes: PositiveInt = 256 * MIB
    """In memory: size of all conversations. The least recently used of the caller with the most is dropped first."""
    idle_memory_seconds: Seconds = 3_600.0
    """In memory: how long a conversation is kept after its last use."""

    @property
    def plain_url(self) -> str:
        """Return the URL with its password, empty for memory."""
        return "" if self.url is None else self.url.get_secret_value()

    @property
    def is_shared(self) -> bool:
        """Return whether other servers may use the same database."""
        return POSTGRESQL_URL.fullmatch(self.plain_url) is not None

    @property
    def password(self) -> str:
        """Return the password in `url`, empty if it has none."""
        try:
            return unquote(urlsplit(self.plain_url).password or "")
        except ValueError:
            return ""


class ConversationsSettings(Section):
    """Limits and lifetimes of conversations."""

    idle_ttl_seconds: TtlSeconds = 90 * DAY
    """How long a conversation is kept after its last use."""
    max_age_seconds: TtlSeconds = 3_650 * DAY
    """How long a conversation is kept after it was created."""
    max_per_caller: PositiveInt = 100_000
    """Conversations of one caller."""
    max_turns: PositiveInt = 10_000
    """Turns of one conversation."""
    lease_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How long a call that stops without an end, such as of a killed server, keeps others out of its conversation."""
    summary_model: str = ""
    """The model that CompactConversation uses if the request names none; empty for that of the conversation."""
