"""Attachments in SQL: stored once for each owner and content, and deleted with the last turn that refers to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import delete, exists, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ..attachments import StoredAttachments
from ..blobs import Blobs
from ..encryption import Cipher
from .database import Database
from .encrypted_columns import attachment_context
from .tables import attachments, turn_attachments

MAX_PARAMETERS = 500
"""Values in one statement; SQLite accepts 999 in old versions."""


class SqlAttachments:
    """Keeps attachments in SQLite or PostgreSQL. Fulfils AttachmentStore."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        dialect: Any = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(attachments).on_conflict_do_nothing()

    async def read(self, owner: str, digests: Collection[str]) -> Mapping[str, bytes]:
        """Return those of the attachments that the owner has, by digest. Raises StorageUnavailable."""
        async with self._database.reading() as connection:
            return await self.read_with(connection, owner, digests)

    async def stored(self, owner: str) -> StoredAttachments:
        """Return how much an owner has stored. Raises StorageUnavailable."""
        columns = func.count(), func.coalesce(func.sum(attachments.c.size), 0)
        async with self._database.reading() as connection:
            count, size = (await connection.execute(select(*columns).where(attachments.c.owner == owner))).one()
        return StoredAttachments(count, int(size))

    async def read_with(self, connection: AsyncConnection, owner: str, digests: Collection[str]) -> dict[str, bytes]:
        """Return attachments within a transaction."""
        found: dict[str, bytes] = {}
        wanted = list(digests)
        for start in range(0, len(wanted), MAX_PARAMETERS):
            chunk = wanted[start : start + MAX_PARAMETERS]
            query = select(attachments).where(attachments.c.owner == owner, attachments.c.digest.in_(chunk))
            for row in await connection.execute(query):
                found[row.digest] = self._cipher.decrypt(row.cipher, row.data, attachment_context(owner, row.digest))
        return found

    async def add(
        self, connection: AsyncConnection, owner: str, conversation_id: str, number: int, blobs: Blobs
    ) -> None:
        """Store the data of a turn, unless the owner has it already, and that the turn refers to it."""
        if blobs.by_digest:
            await self._lock(connection, owner)
        for digest, data in blobs.by_digest.items():
            cipher, encrypted = self._cipher.encrypt(data, attachment_context(owner, digest))
            values = {"owner": owner, "digest": digest, "data": encrypted, "cipher": cipher, "size": len(data)}
            await connection.execute(self._insert, values)
        references = [
            {"conversation_id": conversation_id, "number": number, "digest": digest, "owner": owner}
            for digest in blobs.by_digest
        ]
        if references:
            await connection.execute(insert(turn_attachments), references)

    async def delete_of(self, connection: AsyncConnection, owner: str, conversation_id: str) -> int:
        """Delete the references of a conversation, and the attachments that no other turn of the owner refers to.

        Returns how many attachments were deleted.
        """
        is_own = turn_attachments.c.conversation_id == conversation_id
        query = select(turn_attachments.c.digest).where(is_own).distinct()
        digests = (await connection.execute(query)).scalars().all()
        if digests:
            await self._lock(connection, owner)
        await connection.execute(delete(turn_attachments).where(is_own))
        deleted = 0
        for start in range(0, len(digests), MAX_PARAMETERS):
            is_candidate = attachments.c.digest.in_(digests[start : start + MAX_PARAMETERS])
            is_referred = exists().where(
                turn_attachments.c.owner == owner, turn_attachments.c.digest == attachments.c.digest
            )
            statement = delete(attachments).where(attachments.c.owner == owner, is_candidate, ~is_referred)
            deleted += (await connection.execute(statement)).rowcount
        return deleted

    async def _lock(self, connection: AsyncConnection, owner: str) -> None:
        """Let transactions of one owner change attachments one after the other.

        Otherwise an attachment could be deleted while another transaction adds a turn that refers to it.
        """
        if not self._database.is_sqlite:
            await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(owner))))
