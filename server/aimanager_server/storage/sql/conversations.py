"""Conversations in SQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...core.conversation import Conversation, History, Summary, Turn
from ..conversations import Change, Lease, Page, StoredTurn, busy, choose_page, choose_turns, not_found
from ..encryption import Cipher
from ..turn_codec import Blobs, DecodedTurn, in_slices
from .attachments import SqlAttachments
from .database import Database
from .rows import RowCodec, Values, microseconds
from .tables import conversations, deletions, labels, turn_attachments, turns

COLUMNS = [column for column in conversations.c if column.name not in ("lease_token", "leased_until")]
INSERTED_TURNS = 100
"""Turns that one statement inserts, of a fork or a new conversation."""


def _ordered(condition: ColumnElement[bool]) -> Select[Any]:
    return select(turns).where(condition).order_by(turns.c.number)


NEEDED_BYTES = (
    select(func.coalesce(func.sum(turns.c.size), 0))
    .where(
        turns.c.conversation_id == conversations.c.id,
        or_(turns.c.number >= conversations.c.summarized_turns, turns.c.is_pinned),
    )
    .scalar_subquery()
)
"""The size of all turns that a prompt needs: those that are not summarized, and the pinned ones."""

WITH_SIZE: Select[Any] = select(*COLUMNS, NEEDED_BYTES.label("needed_bytes")).where(
    conversations.c.id == bindparam("id"),
    conversations.c.owner == bindparam("owner"),
    conversations.c.expires_at > bindparam("now"),
)
NEEDED_TURNS = _ordered(
    (turns.c.conversation_id == bindparam("id")) & or_(turns.c.number >= bindparam("first"), turns.c.is_pinned)
)
IS_HELD = (
    (conversations.c.id == bindparam("held_id"))
    & (conversations.c.owner == bindparam("held_owner"))
    & (conversations.c.lease_token == bindparam("held_token"))
    & (conversations.c.leased_until > 0)
)
HELD = select(*COLUMNS).where(IS_HELD).with_for_update()
RENEW = update(conversations).where(IS_HELD)
UPDATE = update(conversations).where(conversations.c.id == bindparam("row_id"))
"""Statements that are built once: building one takes longer than SQLite needs to run it."""


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
                await connection.execute(insert(turns), rows[first : first + INSERTED_TURNS])
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
            await self._find(connection, owner, conversation_id)
            query = select(turns.c.size).where(is_wanted).order_by(turns.c.number).limit(limit)
            sizes = (await connection.execute(query)).scalars().all()
            return await self._read_turns(connection, owner, is_wanted, choose_page(sizes, max_bytes))

    async def history(self, owner: str, conversation_id: str, max_bytes: int) -> History:
        """Return what a prompt needs: the pinned turns, and the newest ones that are not summarized and fit."""
        parameters = {"id": conversation_id, "owner": owner, "now": self._time()}
        async with self._database.reading() as connection:
            row = (await connection.execute(WITH_SIZE, parameters)).one_or_none()
            if row is None:
                raise not_found(conversation_id)
            if row.needed_bytes <= max_bytes:
                parameters = {"id": conversation_id, "first": row.summarized_turns}
                read, omitted = await self._decode_turns(connection, owner, NEEDED_TURNS, parameters), 0
            else:
                read, omitted = await self._newest_turns(connection, row, max_bytes)
            return History(self._rows.conversation(row), tuple(read), omitted)

    async def acquire(self, owner: str, conversation_id: str, turn_count: int, seconds: float) -> Lease:
        """Take the lease of a conversation that has `turn_count` turns. Raises ConversationBusy."""
        now = self._time()
        is_free = (conversations.c.turn_count == turn_count) & (conversations.c.leased_until <= now)
        statement = (
            update(conversations)
            .where(self._is_visible(owner, conversation_id), is_free)
            .values(lease_token=conversations.c.lease_token + 1, leased_until=now + microseconds(seconds))
            .returning(conversations.c.lease_token)
        )
        async with self._database.writing() as connection:
            token = (await connection.execute(statement)).scalar_one_or_none()
            if token is None:
                await self._find(connection, owner, conversation_id)
                raise busy(conversation_id)
        return Lease(owner, conversation_id, token)

    async def renew(self, lease: Lease, seconds: float) -> None:
        """Extend a lease. Raises ConversationBusy if it was lost."""
        leased_until = self._time() + microseconds(seconds)
        async with self._database.writing() as connection:
            if (await connection.execute(RENEW, {**_held(lease), "leased_until": leased_until})).rowcount != 1:
                raise busy(lease.conversation_id)

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that was lost is ignored."""
        async with self._database.writing() as connection:
            await connection.execute(RENEW, {**_held(lease), "leased_until": 0})

    async def append(self, lease: Lease, turn: Turn) -> Conversation:
        """Add the next turn and give the lease back. Raises ConversationBusy if the lease was lost."""
        blobs = await Blobs.of(turn)
        async with self._database.writing() as connection:
            row = (await connection.execute(HELD, _held(lease))).one_or_none()
            if row is None or row.turn_count != turn.number:
                raise busy(lease.conversation_id)
            found = self._rows.conversation(row).used_at(self._now())
            changed = found.with_turn(len(turn.messages), turn.usage, turn.cost)
            await self._update(connection, changed, leased_until=0)
            await self._insert_turn(connection, changed, turn, blobs)
        return changed

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
                rows = (await connection.execute(select(turns).where(is_copied).order_by(turns.c.number))).all()
                for one in rows:
                    copy = copy.with_turn(*self._rows.turn(one).totals())
                values = [self._rows.copied_turn_values(one, copy.id) for one in rows]
                await connection.execute(insert(turns), values)
            await self._copy_references(connection, conversation_id, turn_count, copy.id)
            await self._update(connection, copy)
        return copy

    def _time(self) -> int:
        return microseconds(self._now())

    def _is_visible(self, owner: str, conversation_id: str) -> ColumnElement[bool]:
        is_own = (conversations.c.id == conversation_id) & (conversations.c.owner == owner)
        return is_own & (conversations.c.expires_at > self._time())

    async def _find(
        self, connection: AsyncConnection, owner: str, conversation_id: str, *, is_locked: bool = False
    ) -> Row[Any]:
        query = select(*COLUMNS).where(self._is_visible(owner, conversation_id))
        row = (await connection.execute(query.with_for_update() if is_locked else query)).one_or_none()
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

    async def _update(self, connection: AsyncConnection, conversation: Conversation, **more: int) -> None:
        values = self._rows.conversation_values(conversation) | more
        await connection.execute(UPDATE, {**values, "row_id": values.pop("id")})

    async def _insert_turn(
        self, connection: AsyncConnection, conversation: Conversation, turn: Turn, blobs: Blobs
    ) -> None:
        await connection.execute(insert(turns), self._rows.turn_values(conversation.id, turn, blobs))
        await self._attachments.add(connection, conversation.owner, conversation.id, turn.number, blobs)

    async def _read_turns(
        self, connection: AsyncConnection, owner: str, condition: ColumnElement[bool], limit: int | None
    ) -> Sequence[Turn]:
        return await self._decode_turns(connection, owner, _ordered(condition).limit(limit))

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
        return await self._read_turns(connection, row.owner, is_wanted, None), omitted

    async def _decode_turns(
        self, connection: AsyncConnection, owner: str, query: Select[Any], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Turn]:
        decoded: list[DecodedTurn] = []
        async for row in in_slices(await connection.execute(query, parameters), lambda row: len(row.payload)):
            decoded.append(self._rows.turn(row))
        digests: set[str] = set().union(*(one.digests() for one in decoded))
        data = await self._attachments.read_with(connection, owner, digests) if digests else {}
        return [one.turn(data) for one in decoded]

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
    return {"held_id": lease.conversation_id, "held_owner": lease.owner, "held_token": lease.token}


def _has_label(name: str, value: str) -> ColumnElement[bool]:
    return exists().where(
        labels.c.conversation_id == conversations.c.id, labels.c.name == name, labels.c.value == value
    )
