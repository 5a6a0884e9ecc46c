"""Rows of conversations and turns: what is private in them is encrypted, bound to the row that it belongs to."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Row

from ...core.conversation import Compaction, Conversation, ConversationSettings, Summary, Turn
from ..blobs import Blobs
from ..encryption import Cipher
from ..turn_codec import EncodedTurn, decode_cost, decode_usage, encode_cost, encode_turn, encode_usage
from .encrypted_columns import conversation_context, turn_context

MICROSECONDS = 1_000_000

Values = dict[str, Any]


def microseconds(seconds: float) -> int:
    """Return a Unix time as it is stored."""
    return round(seconds * MICROSECONDS)


class RowCodec:
    """Makes rows of conversations and turns, and reads them."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def conversation_values(self, conversation: Conversation) -> Values:
        """Return the columns of a conversation, but for those of its lease."""
        cipher, details = self._cipher.encrypt(_details(conversation), conversation_context(conversation.id))
        return self.usage_values(conversation) | {
            "id": conversation.id,
            "owner": conversation.owner,
            "details": details,
            "cipher": cipher,
            "summarized_turns": 0 if conversation.summary is None else conversation.summary.turns,
            "created_at": microseconds(conversation.created_at),
            "forked_from": conversation.forked_from,
        }

    def usage_values(self, conversation: Conversation) -> Values:
        """Return the columns that each turn changes."""
        return {
            "turn_count": conversation.turn_count,
            "message_count": conversation.message_count,
            "totals": _totals(conversation),
            "updated_at": microseconds(conversation.updated_at),
            "expires_at": microseconds(conversation.expires_at),
        }

    def conversation(self, row: Row[Any]) -> Conversation:
        """Return the conversation of a row. Raises UnreadableValue."""
        details = json.loads(self._cipher.decrypt(row.cipher, row.details, conversation_context(row.id)))
        usage, cost = json.loads(row.totals)
        summary, (idle_seconds, latest_expiry) = details.get("summary"), details["lifetime"]
        return Conversation(
            row.id,
            row.owner,
            ConversationSettings(details["title"], details["model"], details["system_instruction"], details["labels"]),
            row.created_at / MICROSECONDS,
            row.updated_at / MICROSECONDS,
            row.expires_at / MICROSECONDS,
            idle_seconds,
            latest_expiry,
            row.turn_count,
            row.message_count,
            decode_usage(usage),
            decode_cost(cost),
            row.forked_from,
            None if summary is None else _summary(*summary),
        )

    def turn_values(self, conversation_id: str, turn: Turn, blobs: Blobs) -> Values:
        """Return the columns of a turn."""
        payload = encode_turn(turn, blobs)
        cipher, encrypted = self._cipher.encrypt(payload, turn_context(conversation_id, turn.number))
        return {
            "conversation_id": conversation_id,
            "number": turn.number,
            "payload": encrypted,
            "cipher": cipher,
            "size": len(payload) + sum(map(len, blobs.by_digest.values())),
            "created_at": microseconds(turn.created_at),
            "is_interrupted": turn.is_interrupted,
            "is_pinned": turn.is_pinned,
        }

    def turns(self, conversation_id: str, rows: Iterable[Sequence[Any]]) -> Iterator[EncodedTurn]:
        """Yield the turns of rows with TURN_COLUMNS. Raises UnreadableValue."""
        decrypt = self._cipher.decrypt
        for number, payload, cipher, created_at, is_interrupted, is_pinned in rows:
            decrypted = decrypt(cipher, payload, turn_context(conversation_id, number))
            yield EncodedTurn(number, decrypted, created_at / MICROSECONDS, is_interrupted, is_pinned)

    def copied_turn_values(self, turn: EncodedTurn, row: Row[Any], conversation_id: str) -> Values:
        """Return the columns of a copy of a turn in another conversation."""
        cipher, encrypted = self._cipher.encrypt(turn.payload, turn_context(conversation_id, turn.number))
        return {**row._mapping, "conversation_id": conversation_id, "payload": encrypted, "cipher": cipher}


def _details(conversation: Conversation) -> bytes:
    settings, summary = conversation.settings, conversation.summary
    details: Values = {
        "title": settings.title,
        "model": settings.model,
        "system_instruction": settings.system_instruction,
        "labels": dict(settings.labels),
        "lifetime": [conversation.idle_seconds, conversation.latest_expiry],
    }
    if summary is not None:
        details["summary"] = [summary.turns, summary.text, summary.provider, summary.model]
        if (native := summary.native) is not None:
            state = base64.b64encode(native.provider_state).decode()
            details["summary"].append([native.provider, native.model, state])
    return json.dumps(details).encode()


def _summary(turns: int, text: str, provider: str, model: str, native: Sequence[str] | None = None) -> Summary:
    if native is None:
        return Summary(turns, text, provider, model)
    made_by, made_with, state = native
    return Summary(turns, text, provider, model, Compaction(made_by, made_with, base64.b64decode(state)))


def _totals(conversation: Conversation) -> bytes:
    return json.dumps([encode_usage(conversation.usage), encode_cost(conversation.cost)]).encode()
