"""What a database holds."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select

from .database import Database
from .tables import attachments, conversations, deletions, idempotency, responses, turns

TABLES = {
    "conversations": conversations,
    "turns": turns,
    "attachments": attachments,
    "responses": idempotency,
    "cached_responses": responses,
    "deletions": deletions,
}


async def contents(database: Database) -> Mapping[str, int]:
    """Return the number of rows of each kind. Raises StorageUnavailable."""
    async with database.reading() as connection:
        return {
            name: int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
            for name, table in TABLES.items()
        }
