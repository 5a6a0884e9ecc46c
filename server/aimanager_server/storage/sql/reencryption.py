"""Encrypt again, with the first key, what was encrypted with another one or not at all."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, select, tuple_, update

from ..conversations import choose_page
from ..encryption import Cipher, UnreadableValue
from .database import Database
from .encrypted_columns import ENCRYPTED_COLUMNS, EncryptedColumn

PAGE_ROWS = 1_000
"""Rows that one statement looks through for values to encrypt again."""
BATCH_ROWS, BATCH_BYTES = 200, 4 * 1024 * 1024
"""Rows and bytes that one transaction encrypts again. It keeps servers from writing to a SQLite file meanwhile."""
MIN_PAUSE_SECONDS = 0.01
"""Between two transactions, in which servers write; as long as the transaction took if that is more."""
PASSES, PASS_SECONDS = 5, 0.5
"""How often, and after how long, rows are tried again that a server had locked."""

Key = Sequence[Any]
"""The values of a primary key."""


@dataclass(slots=True)
class Reencrypted:
    """How many values were encrypted again, and how many could not be read."""

    values: int = 0
    unreadable: int = 0


async def values_by_cipher(database: Database) -> Mapping[str, int]:
    """Return the number of stored values by the name of their cipher. Raises StorageUnavailable."""
    found: Counter[str] = Counter()
    async with database.reading() as connection:
        for column in ENCRYPTED_COLUMNS:
            query = select(column.cipher, func.count()).where(column.value.is_not(None)).group_by(column.cipher)
            for name, count in await connection.execute(query):
                found[name] += count
    return found


async def unreadable_ciphers(database: Database, cipher: Cipher) -> Sequence[str]:
    """Return the names of the ciphers that cannot be decrypted: one value of each is tried in every table.

    Their key is missing, or another key has its id. Raises StorageUnavailable.
    """
    found = set()
    async with database.reading() as connection:
        for column in ENCRYPTED_COLUMNS:
            names = select(column.cipher).where(column.value.is_not(None)).distinct()
            for name in (await connection.execute(names)).scalars().all():
                query = select(*column.key, column.value).where(column.cipher == name, column.value.is_not(None))
                for *key, value in await connection.execute(query.limit(1)):
                    try:
                        cipher.decrypt(name, value, column.context(*key))
                    except UnreadableValue:
                        found.add(name)
    return sorted(found)


async def reencrypt(database: Database, cipher: Cipher) -> Reencrypted:
    """Encrypt all values with the first key, in small transactions.

    Servers may use the database meanwhile. Nothing but the values is kept: after an interruption, it continues with
    the rest when it is called again. Raises StorageUnavailable.
    """
    done = Reencrypted()
    for column in ENCRYPTED_COLUMNS:
        for number in range(PASSES):
            if number:
                await asyncio.sleep(PASS_SECONDS)
            found, values, unreadable = await _pass(database, cipher, column)
            done.values += values
            if values + unreadable == found:
                break
        done.unreadable += unreadable
    return done


async def _pass(database: Database, cipher: Cipher, column: EncryptedColumn) -> tuple[int, int, int]:
    """Return how many values with another cipher were found, were encrypted again, and could not be read."""
    found = values = unreadable = 0
    async for keys in _batches(database, cipher, column):
        began = time.monotonic()
        changed, failed = await _reencrypt(database, cipher, column, keys)
        found, values, unreadable = found + len(keys), values + changed, unreadable + failed
        await asyncio.sleep(max(MIN_PAUSE_SECONDS, time.monotonic() - began))
    return found, values, unreadable


async def _batches(database: Database, cipher: Cipher, column: EncryptedColumn) -> AsyncIterator[Sequence[Key]]:
    """Yield the keys of values with another cipher, as many as one transaction encrypts."""
    last: Key | None = None
    width = len(column.key)
    while True:
        query = select(*column.key, column.cipher, func.length(column.value)).order_by(*column.key).limit(PAGE_ROWS)
        if last is not None:
            query = query.where(_position(column) > tuple(last))
        async with database.reading() as connection:
            rows = (await connection.execute(query)).all()
        old = [row for row in rows if row[width] != cipher.name and row[width + 1] is not None]
        while old:
            count = choose_page([row[width + 1] for row in old[:BATCH_ROWS]], BATCH_BYTES)
            yield [row[:width] for row in old[:count]]
            old = old[count:]
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][:width]


async def _reencrypt(
    database: Database, cipher: Cipher, column: EncryptedColumn, keys: Sequence[Key]
) -> tuple[int, int]:
    """Encrypt the values with these keys, and return how many, and how many could not be read.

    Rows that a server has locked are left out, so that neither waits for the other.
    """
    width = len(column.key)
    position = _position(column)
    query = (
        select(*column.key, column.cipher, column.value)
        .where(position >= tuple(keys[0]), position <= tuple(keys[-1]), column.cipher != cipher.name)
        .where(column.value.is_not(None))
        .limit(len(keys))
        .with_for_update(skip_locked=True, key_share=True)
    )
    changes, unreadable = [], 0
    async with database.writing() as connection:
        for *key, name, value in (await connection.execute(query)).all():
            context = column.context(*key)
            try:
                new_name, encrypted = cipher.encrypt(cipher.decrypt(name, value, context), context)
            except UnreadableValue:
                unreadable += 1
                continue
            with_key = {f"with_{index}": key[index] for index in range(width)}
            changes.append({**with_key, "with_value": encrypted, "with_cipher": new_name})
        if changes:
            is_row = [one == bindparam(f"with_{index}") for index, one in enumerate(column.key)]
            new: dict[str, Any] = {
                column.value.name: bindparam("with_value"),
                column.cipher.name: bindparam("with_cipher"),
            }
            await connection.execute(update(column.table).where(*is_row).values(new), changes)
    return len(changes), unreadable


def _position(column: EncryptedColumn) -> ColumnElement[Any]:
    return tuple_(*column.key)
