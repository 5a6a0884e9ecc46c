"""Statements of conversations that are built once: building one takes longer than SQLite needs to run it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, insert, or_, select, update

from .tables import conversations, turns

COLUMNS = [column for column in conversations.c if column.name not in ("lease_token", "leased_until")]

TURN_COLUMNS = (
    turns.c.number, turns.c.payload, turns.c.cipher, turns.c.created_at, turns.c.is_interrupted, turns.c.is_pinned,
)  # fmt: skip


def ordered_turns(condition: ColumnElement[bool]) -> Select[Any]:
    """Return a query of the turns that fulfil the condition, in order."""
    return select(*TURN_COLUMNS).where(condition).order_by(turns.c.number)


NEEDED_BYTES = (
    select(func.coalesce(func.sum(turns.c.size), 0))
    .where(
        turns.c.conversation_id == conversations.c.id,
        or_(turns.c.number >= conversations.c.summarized_turns, turns.c.is_pinned),
    )
    .scalar_subquery()
)
"""The size of all turns that a prompt needs: those that are not summarized, and the pinned ones."""

IS_VISIBLE = (
    (conversations.c.id == bindparam("with_id"))
    & (conversations.c.owner == bindparam("with_owner"))
    & (conversations.c.expires_at > bindparam("now"))
)
IS_FREE = (conversations.c.turn_count == bindparam("with_turns")) & (conversations.c.leased_until <= bindparam("now"))
IS_HELD = (
    (conversations.c.id == bindparam("with_id"))
    & (conversations.c.owner == bindparam("with_owner"))
    & (conversations.c.lease_token == bindparam("with_token"))
    & (conversations.c.leased_until > 0)
)
FIND = select(*COLUMNS).where(IS_VISIBLE)
FIND_WITH_SIZE: Select[Any] = select(*COLUMNS, NEEDED_BYTES.label("needed_bytes")).where(IS_VISIBLE)
FIND_LOCKED = FIND.with_for_update()
NEEDED_TURNS = ordered_turns(
    (turns.c.conversation_id == bindparam("with_id")) & or_(turns.c.number >= bindparam("first"), turns.c.is_pinned)
)
ACQUIRE = (
    update(conversations)
    .where(IS_VISIBLE, IS_FREE)
    .values(lease_token=conversations.c.lease_token + 1, leased_until=bindparam("until"))
    .returning(*COLUMNS, conversations.c.lease_token)
)
RENEW = update(conversations).where(IS_HELD)
APPEND = (
    update(conversations)
    .where(IS_HELD, conversations.c.turn_count == bindparam("with_turns"))
    .values(leased_until=0)
    .returning(*COLUMNS)
)
UPDATE = update(conversations).where(conversations.c.id == bindparam("with_id"))
INSERT_TURN = insert(turns)
