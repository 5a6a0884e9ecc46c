"""JSON logs, one event a fact, the request id on every line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from pydantic_core import to_json

Mask = Callable[[str], str]
"""Takes key-shaped text out of a string."""


def configure(level: str, mask: Mask, stream: TextIO | None = None) -> None:
    """Send our events and other libraries' warnings to `stream` (stderr) as JSON, from `level` up.

    Texts that are not ours (other libraries' messages, tracebacks) pass `mask` first.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    target = stream or sys.stderr
    line = _Line(mask)
    structlog.configure(
        processors=[line],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    foreign = structlog.stdlib.ProcessorFormatter
    handler.setFormatter(
        foreign(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[_with_level, foreign.remove_processors_meta, line],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


class _Line:
    """Renders one event, in a single step: every call logs at least once, and a chain of steps costs more."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> str:
        event = structlog.contextvars.merge_contextvars(logger, method, event)
        if "exc_info" in event:
            event = structlog.processors.format_exc_info(logger, method, event)
        for untrusted in ("exception", "event") if "exception" in event or "logger" in event else ():
            event[untrusted] = self._mask(str(event.get(untrusted, "")))
        line = {"timestamp": datetime.now(UTC), "level": method, "event": event.pop("event"), **event}
        return to_json(line, fallback=str).decode()


def _with_level(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["level"] = event["_record"].levelname.lower()
    return event
