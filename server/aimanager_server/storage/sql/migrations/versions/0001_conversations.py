"""Conversations, their turns and attachments, and idempotent responses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
        sa.Column("cipher", sa.String(64), nullable=False),
        sa.Column("turn_count", sa.Integer, nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("summarized_turns", sa.Integer, nullable=False),
        sa.Column("totals", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("forked_from", sa.String(64), nullable=False),
        sa.Column("lease_token", sa.BigInteger, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
    )
    op.create_index("conversations_by_use", "conversations", ["owner", "updated_at", "id"])
    op.create_index("conversations_by_expiry", "conversations", ["expires_at"])
    op.create_table(
        "turns",
        sa.Column(
            "conversation_id", sa.String(64), sa.ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("cipher", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("is_interrupted", sa.Boolean, nullable=False),
        sa.Column("is_pinned", sa.Boolean, nullable=False),
    )
    op.create_table(
        "conversation_labels",
        sa.Column(
            "conversation_id", sa.String(64), sa.ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(512), nullable=False),
    )
    op.create_index("conversation_labels_by_value", "conversation_labels", ["name", "value"])
    op.create_table(
        "attachments",
        sa.Column("owner", sa.String(256), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("cipher", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "turn_attachments",
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id", "number"], ["turns.conversation_id", "turns.number"], ondelete="CASCADE"
        ),
    )
    op.create_index("turn_attachments_by_digest", "turn_attachments", ["owner", "digest"])
    op.create_table(
        "deletions",
        sa.Column("conversation_id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("attachments", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
    )
    op.create_table(
        "idempotent_responses",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("claim", sa.LargeBinary, nullable=False),
        sa.Column("claimed_until", sa.BigInteger, nullable=False),
        sa.Column("response", sa.LargeBinary),
        sa.Column("cipher", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("idempotent_responses_by_expiry", "idempotent_responses", ["expires_at"])
    op.create_index("idempotent_responses_by_conversation", "idempotent_responses", ["conversation_id"])


def downgrade() -> None:
    """Drop the tables and everything in them."""
    for table in (
        "idempotent_responses", "deletions", "turn_attachments", "attachments", "conversation_labels", "turns",
        "conversations",
    ):  # fmt: skip
        op.drop_table(table)
