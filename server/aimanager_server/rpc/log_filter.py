"""Keeps what callers send in confidence out of gRPC's own log lines."""

from __future__ import annotations

import logging

LOGGER = "grpc._cython.cygrpc"
BETRAYING = "Invalid encoding on"


def keep_secrets() -> None:
    """Have gRPC log that metadata was not UTF-8 without the value, which may be a token. Safe to call again."""
    logging.getLogger(LOGGER).addFilter(_without_value)


def _without_value(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(BETRAYING):
        record.msg, record.args = "Metadata of a caller is not UTF-8.", ()
        record.exc_info = None
    return True
