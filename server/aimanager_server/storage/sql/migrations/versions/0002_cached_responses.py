"""Responses of the response cache."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "cached_responses",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("conversation_id", sa.String(64), nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
        sa.Column("cipher", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("generated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("cached_responses_by_owner", "cached_responses", ["owner", "generated_at", "size"])
    op.create_index("cached_responses_by_age", "cached_responses", ["generated_at"])
    op.create_index("cached_responses_by_conversation", "cached_responses", ["conversation_id"])


def downgrade() -> None:
    """Drop the table and everything in it."""
    op.drop_table("cached_responses")
