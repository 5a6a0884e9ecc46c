"""Conversations in SQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...core.conversation import Conversation, History, Summary, Turn
from ..blobs import Blobs, in_slices
from ..conversations import Change, Lease, Page, StoredTurn, busy, choose_page, choose_turns, not_found
from ..encryption import Cipher
from ..turn_codec import decode_totals, decode_turns, parse_turns
from .attachments import SqlAttachments
from .database import Database
from .rows import RowCodec, Values, microseconds
from .statements import (
    ACQUIRE,
    APPEND,
    COLUMNS,
    FIND,
    FIND_LOCKED,
    FIND_WITH_SIZE,
    INSERT_TURN,
    NEEDED_TURNS,
    RENEW,
    UPDATE,
    ordered_turns,
)
from .tables import conversations, deletions, labels, turn_attachments, turns

INSERTED_TURNS = 100
"""Turns that one statement inserts, of a fork or a new conversation."""


class SqlConversations:
    """Keeps conversations in SQLite or PostgreSQL. Fulfils ConversationStore."""

    def __init__(
        self, database: Database, cipher: Cipher, attachments: SqlAttachments, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._rows = RowCodec(cipher)
        self._attachments = attachments
        self._now = now

    async def create(self, conversation: Conversation, first_turns: Sequence[Turn] = ()) -> Conversation:
        """Store a new conversation with the turns it starts with."""
        data = [await Blobs.of(turn) for turn in first_turns]
        rows: list[Values] = []
        async for turn, blobs in in_slices(zip(first_turns, data, strict=True), lambda _: int(rows[-1]["size"])):
            rows.append(self._rows.turn_values(conversation.id, turn, blobs))
            conversation = conversation.with_turn(len(turn.messages), turn.usage, turn.cost)
        async with self._database.writing() as connection:
            await self._insert(connection, conversation)
            for first in range(0, len(rows), INSERTED_TURNS):
                await connection.execute(INSERT_TURN, rows[first : first + INSERTED_TURNS])
            for turn, blobs in zip(first_turns, data, strict=True):
                await self._attachments.add(connection, conversation.owner, conversation.id, turn.number, blobs)
        return conversation

    async def get(self, owner: str, conversation_id: str) -> Conversation:
        """Return a conversation without its turns."""
        async with self._database.reading() as connection:
            return self._rows.conversation(await self._find(connection, owner, conversation_id))

    async def list(
        self, owner: str, limit: int, after: Page | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Conversation]:
        """Return conversations that have all the labels, the one used last first."""
        used = conversations.c.updated_at
        query = select(*COLUMNS).where(conversations.c.owner == owner, conversations.c.expires_at > self._time())
        if after is not None:
            updated_at = microseconds(after.updated_at)
            is_same_time = (used == updated_at) & (conversations.c.id < after.conversation_id)
            query = query.where(or_(used < updated_at, is_same_time))
        for name, value in (labels or {}).items():
            query = query.where(_has_label(name, value))
        query = query.order_by(used.desc(), conversations.c.id.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [self._rows.conversation(row) for row in await connection.execute(query)]

    async def count(self, owner: str) -> int:
        """Return the number of conversations of an owner."""
        query = select(func.count()).select_from(conversations).where(conversations.c.owner == owner)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def update(self, owner: str, conversation_id: str, change: Change) -> Conversation:
        """Change the settings; this counts as a use."""
        async with self._database.writing() as connection:
            found = self._rows.conversation(await self._find(connection, owner, conversation_id, is_locked=True))
            changed = replace(found, settings=change(found.settings)).used_at(self._now())
            await self._update(connection, changed)
            await connection.execute(delete(labels).where(labels.c.conversation_id == conversation_id))
            await self._insert_labels(connection, changed)
        return changed

    async def set_summary(self, owner: str, conversation_id: str, summary: Summary) -> Conversation:
        """Set the summary of the first turns, unless the conversation has one of more turns."""
        async with self._database.writing() as connection:
            found = self._rows.conversation(await self._find(connection, owner, conversation_id, is_locked=True))
            if found.summary is not None and found.summary.turns > summary.turns:
                return found
            changed = replace(found, summary=summary)
            await self._update(connection, changed)
        return changed

    async def pin(self, owner: str, conversation_id: str, number: int, *, is_pinned: bool) -> None:
        """Pin a turn, or unpin it; ignored for a turn that does not exist."""
        is_turn = (turns.c.conversation_id == conversation_id) & (turns.c.number == number)
        async with self._database.writing() as connection:
            await self._find(connection, owner, conversation_id, is_locked=True)
            await connection.execute(update(turns).where(is_turn).values(is_pinned=is_pinned))

    async def delete(self, owner: str, conversation_id: str) -> None:
        """Delete a conversation with its turns and attachments; keep a record of the deletion."""
        async with self._database.writing() as connection:
            row = await self._find(connection, owner, conversation_id, is_locked=True)
            await self._delete(connection, row, "requested")

    async def delete_expired(self, limit: int) -> Sequence[str]:
        """Delete at most `limit` conversations that have expired; return their ids."""
        query = select(*COLUMNS).where(conversations.c.expires_at <= self._time()).limit(limit)
        async with self._database.writing() as connection:
            # Several servers delete at the same time, each what the others have not locked.
            rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
            for row in rows:
                await self._delete(connection, row, "expired")
        return [row.id for row in rows]

    async def turns(
        self, owner: str, conversation_id: str, first_turn: int, limit: int, max_bytes: int
    ) -> Sequence[Turn]:
        """Return the turns from `first_turn` on: at most `limit`, and one or as many as have this size together."""
        is_wanted = (turns.c.conversation_id == conversation_id) & (turns.c.number >= first_turn)
        async with self._database.reading() as connection:
            row = await self._find(connection, owner, conversation_id)
            query = select(turns.c.size).where(is_wanted).order_by(turns.c.number).limit(limit)
            sizes = (await connection.execute(query)).scalars().all()
            page = ordered_turns(is_wanted).limit(choose_page(sizes, max_bytes))
            return await self._read_turns(connection, row, page)

    async def history(self, owner: str, conversation_id: str, max_bytes: int) -> History:
        """Return what a prompt needs: the pinned turns, and the newest ones that are not summarized and fit."""
        async with self._database.reading() as connection:
            found = await connection.execute(FIND_WITH_SIZE, self._visible(owner, conversation_id))
            row = found.one_or_none()
            if row is None:
                raise not_found(conversation_id)
            if row.needed_bytes <= max_bytes:
                parameters = {"with_id": conversation_id, "first": row.summarized_turns}
                read, omitted = await self._read_turns(connection, row, NEEDED_TURNS, parameters), 0
            else:
                read, omitted = await self._newest_turns(connection, row, max_bytes)
        return History(self._rows.conversation(row), tuple(read), omitted)

    async def acquire(self, owner: str, conversation_id: str, turn_count: int, seconds: float) -> Lease:
        """Take the lease of a conversation that has `turn_count` turns. Raises ConversationBusy."""
        visible = self._visible(owner, conversation_id)
        until = visible["now"] + microseconds(seconds)
        async with self._database.writing(is_durable=False) as connection:
            acquired = await connection.execute(ACQUIRE, {**visible, "with_turns": turn_count, "until": until})
            row = acquired.one_or_none()
            if row is None:
                await self._find(connection, owner, conversation_id)
                raise busy(conversation_id)
        return Lease(self._rows.conversation(row), row.lease_token)

    async def renew(self, lease: Lease, seconds: float) -> None:
        """Extend a lease. Raises ConversationBusy if it was lost."""
        leased_until = self._time() + microseconds(seconds)
        async with self._database.writing(is_durable=False) as connection:
            if (await connection.execute(RENEW, {**_held(lease), "leased_until": leased_until})).rowcount != 1:
                raise busy(lease.conversation_id)

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that was lost is ignored."""
        async with self._database.writing(is_durable=False) as connection:
            await connection.execute(RENEW, {**_held(lease), "leased_until": 0})

    async def append(self, lease: Lease, turn: Turn) -> Conversation:
        """Add the next turn and give the lease back. Raises ConversationBusy if the lease was lost."""
        blobs = await Blobs.of(turn)
        changed = lease.conversation.used_at(self._now()).with_turn(len(turn.messages), turn.usage, turn.cost)
        values = {**self._rows.usage_values(changed), **_held(lease), "with_turns": turn.number}
        async with self._database.writing() as connection:
            row = (await connection.execute(APPEND, values)).one_or_none()
            if row is None:
                raise busy(lease.conversation_id)
            await self._insert_turn(connection, changed, turn, blobs)
        return self._rows.conversation(row)

    async def fork(self, owner: str, conversation_id: str, turn_count: int, copy: Conversation) -> Conversation:
        """Store `copy` with the first `turn_count` turns of a conversation, or all if it has fewer."""
        async with self._database.writing() as connection:
            row = await self._find(connection, owner, conversation_id, is_locked=True)
            turn_count = min(turn_count, row.turn_count)
            await self._insert(connection, copy)
            for first in range(0, turn_count, INSERTED_TURNS):
                is_copied = (turns.c.conversation_id == conversation_id) & turns.c.number.between(
                    first, min(first + INSERTED_TURNS, turn_count) - 1
                )
                query = ordered_turns(is_copied).add_columns(turns.c.size)
                rows = (await connection.execute(query)).all()
                encoded = list(self._rows.turns(conversation_id, [one[:-1] for one in rows]))
                for fields in await parse_turns(encoded):
                    copy = copy.with_turn(*decode_totals(fields))
                pairs = zip(encoded, rows, strict=True)
                values = [self._rows.copied_turn_values(turn, row, copy.id) for turn, row in pairs]
                await connection.execute(INSERT_TURN, values)
            await self._copy_references(connection, conversation_id, turn_count, copy.id)
            await self._update(connection, copy)
        return copy

    def _time(self) -> int:
        return microseconds(self._now())

    def _visible(self, owner: str, conversation_id: str) -> dict[str, Any]:
        """Return the parameters of IS_VISIBLE."""
        return {"with_id": conversation_id, "with_owner": owner, "now": self._time()}

    async def _find(
        self, connection: AsyncConnection, owner: str, conversation_id: str, *, is_locked: bool = False
    ) -> Row[Any]:
        query = FIND_LOCKED if is_locked else FIND
        row = (await connection.execute(query, self._visible(owner, conversation_id))).one_or_none()
        if row is None:
            raise not_found(conversation_id)
        return row

    async def _insert(self, connection: AsyncConnection, conversation: Conversation) -> None:
        values = self._rows.conversation_values(conversation)
        await connection.execute(insert(conversations), {**values, "lease_token": 0, "leased_until": 0})
        await self._insert_labels(connection, conversation)

    async def _insert_labels(self, connection: AsyncConnection, conversation: Conversation) -> None:
        rows = [
            {"conversation_id": conversation.id, "name": name, "value": value}
            for name, value in conversation.settings.labels.items()
        ]
        if rows:
            await connection.execute(insert(labels), rows)

    async def _update(self, connection: AsyncConnection, conversation: Conversation) -> None:
        values = self._rows.conversation_values(conversation)
        await connection.execute(UPDATE, {**values, "with_id": values.pop("id")})

    async def _insert_turn(
        self, connection: AsyncConnection, conversation: Conversation, turn: Turn, blobs: Blobs
    ) -> None:
        await connection.execute(INSERT_TURN, self._rows.turn_values(conversation.id, turn, blobs))
        await self._attachments.add(connection, conversation.owner, conversation.id, turn.number, blobs)

    async def _newest_turns(
        self, connection: AsyncConnection, row: Row[Any], max_bytes: int
    ) -> tuple[Sequence[Turn], int]:
        """Return the turns of a prompt that not all fit in, and how many are left out."""
        is_own = turns.c.conversation_id == row.id
        is_needed = or_(turns.c.number >= row.summarized_turns, turns.c.is_pinned)
        sizes = select(turns.c.number, turns.c.size, turns.c.is_pinned).where(is_own, is_needed)
        found = (await connection.execute(sizes.order_by(turns.c.number.desc()))).all()
        first, pinned, omitted = choose_turns([StoredTurn(*one) for one in found], row.summarized_turns, max_bytes)
        is_wanted = is_own & (turns.c.number >= first)
        if pinned:
            is_wanted = is_own & (or_(turns.c.number >= first, turns.c.number.in_(pinned)))
        return await self._read_turns(connection, row, ordered_turns(is_wanted)), omitted

    async def _read_turns(
        self,
        connection: AsyncConnection,
        conversation: Row[Any],
        query: Select[Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> Sequence[Turn]:
        rows = (await connection.execute(query, parameters)).all()
        read = partial(self._attachments.read_with, connection, conversation.owner)
        return await decode_turns(self._rows.turns(conversation.id, rows), read)

    async def _copy_references(
        self, connection: AsyncConnection, conversation_id: str, turn_count: int, copy_id: str
    ) -> None:
        table = turn_attachments.c
        references = select(literal(copy_id), table.number, table.digest, table.owner).where(
            table.conversation_id == conversation_id, table.number < turn_count
        )
        names = ["conversation_id", "number", "digest", "owner"]
        await connection.execute(insert(turn_attachments).from_select(names, references))

    async def _delete(self, connection: AsyncConnection, row: Row[Any], reason: str) -> None:
        deleted_attachments = await self._attachments.delete_of(connection, row.owner, row.id)
        await connection.execute(delete(conversations).where(conversations.c.id == row.id))
        record = {
            "conversation_id": row.id, "owner": row.owner, "deleted_at": self._time(), "turns": row.turn_count,
            "attachments": deleted_attachments, "reason": reason,
        }  # fmt: skip
        await connection.execute(insert(deletions), record)


def _held(lease: Lease) -> dict[str, Any]:
    """Return the parameters of IS_HELD."""
    return {"with_id": lease.conversation_id, "with_owner": lease.owner, "with_token": lease.token}


def _has_label(name: str, value: str) -> ColumnElement[bool]:
    return exists().where(
        labels.c.conversation_id == conversations.c.id, labels.c.name == name, labels.c.value == value
    )
