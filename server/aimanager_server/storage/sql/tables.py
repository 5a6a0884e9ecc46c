"""The tables. Migrations create them; these definitions are only for statements."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("details", LargeBinary, nullable=False),  # title, model, system instruction and summary; may be encrypted
    Column("cipher", String(64), nullable=False),
    Column("turn_count", Integer, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("summarized_turns", Integer, nullable=False),
    Column("totals", LargeBinary, nullable=False),  # usage and cost of all turns
    Column("created_at", BigInteger, nullable=False),  # microseconds since 1970, as all times
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("forked_from", String(64), nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False),
)
Index("conversations_by_use", conversations.c.owner, conversations.c.updated_at, conversations.c.id)
Index("conversations_by_expiry", conversations.c.expires_at)

turns = Table(
    "turns",
    metadata,
    Column("conversation_id", String(64), ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("cipher", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),  # of the payload and the data that it refers to
    Column("created_at", BigInteger, nullable=False),
    Column("is_interrupted", Boolean, nullable=False),
    Column("is_pinned", Boolean, nullable=False),
)

labels = Table(
    "conversation_labels",
    metadata,
    Column("conversation_id", String(64), ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", String(512), nullable=False),
)
Index("conversation_labels_by_value", labels.c.name, labels.c.value)

attachments = Table(
    "attachments",
    metadata,
    Column("owner", String(256), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("cipher", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
)

turn_attachments = Table(
    "turn_attachments",
    metadata,
    Column("conversation_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    ForeignKeyConstraint(["conversation_id", "number"], ["turns.conversation_id", "turns.number"], ondelete="CASCADE"),
)
Index("turn_attachments_by_digest", turn_attachments.c.owner, turn_attachments.c.digest)

deletions = Table(
    "deletions",
    metadata,
    Column("conversation_id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("deleted_at", BigInteger, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("attachments", Integer, nullable=False),
    Column("reason", String(16), nullable=False),  # "requested" or "expired"
)

idempotency = Table(
    "idempotent_responses",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("conversation_id", String(64), nullable=False),
    Column(
        "claim", LargeBinary, nullable=False
    ),  # random token of the call in flight; empty once the response is stored
    Column("claimed_until", BigInteger, nullable=False),
    Column("response", LargeBinary),
    Column("cipher", String(64), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("idempotent_responses_by_expiry", idempotency.c.expires_at)
Index("idempotent_responses_by_conversation", idempotency.c.conversation_id)

responses = Table(
    "cached_responses",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("conversation_id", String(64), nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("cipher", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("generated_at", BigInteger, nullable=False),
)
Index("cached_responses_by_owner", responses.c.owner, responses.c.generated_at, responses.c.size)
Index("cached_responses_by_age", responses.c.generated_at)
Index("cached_responses_by_conversation", responses.c.conversation_id)
