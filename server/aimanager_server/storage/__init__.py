"""Conversations, attachments and idempotent responses that outlive a call: one protocol each, in memory or in SQL."""
