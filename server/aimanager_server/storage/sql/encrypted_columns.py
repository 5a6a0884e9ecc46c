"""The columns that hold encrypted values, and the context that binds each value to its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Column, Table

from ...core.value import dataclass
from .tables import attachments, conversations, idempotency, responses, turns


def conversation_context(conversation_id: str) -> bytes:
    """Return the context of a conversation's details."""
    return conversation_id.encode()


def turn_context(conversation_id: str, number: int) -> bytes:
    """Return the context of a turn."""
    return f"{conversation_id}/{number}".encode()


def attachment_context(owner: str, digest: str) -> bytes:
    """Return the context of an attachment."""
    return f"{owner}\0{digest}".encode()


def response_context(key: bytes) -> bytes:
    """Return the context of a stored response."""
    return key


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """A column with encrypted values. `context` returns that of a row from the values of its primary key."""

    table: Table
    value: Column[Any]
    context: Callable[..., bytes]

    @property
    def key(self) -> Sequence[Column[Any]]:
        """Return the columns of the primary key."""
        return tuple(self.table.primary_key.columns)

    @property
    def cipher(self) -> Column[Any]:
        """Return the column with the cipher's name."""
        return self.table.c.cipher


ENCRYPTED_COLUMNS = (
    EncryptedColumn(conversations, conversations.c.details, conversation_context),
    EncryptedColumn(turns, turns.c.payload, turn_context),
    EncryptedColumn(attachments, attachments.c.data, attachment_context),
    EncryptedColumn(idempotency, idempotency.c.response, response_context),
    EncryptedColumn(responses, responses.c.response, response_context),
)
