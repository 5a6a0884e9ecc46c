"""Remove metadata values from gRPC's own log lines: they may hold tokens."""

from __future__ import annotations

import logging

LOGGER = "grpc._cython.cygrpc"
INVALID_METADATA_PREFIX = "Invalid encoding on"


def redact_invalid_metadata() -> None:
    """Make gRPC log invalid UTF-8 in metadata without the value. Idempotent."""
    logging.getLogger(LOGGER).addFilter(_redact)


def _redact(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(INVALID_METADATA_PREFIX):
        record.msg, record.args = "Metadata of a caller is not valid UTF-8.", ()
        record.exc_info = None
    return True
