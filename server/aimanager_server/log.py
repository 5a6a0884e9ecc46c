"""JSON logs, one event a fact, the request id on every line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

import structlog

Mask = Callable[[str], str]
"""Takes key-shaped text out of a string."""


def configure(level: str, mask: Mask, stream: TextIO | None = None) -> None:
    """Send our events and other libraries' warnings to `stream` (stderr) as JSON, from `level` up.

    Texts that are not ours (other libraries' messages, tracebacks) pass `mask` first.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    target = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    masked = _masking(mask)
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, masked, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                masked,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _masking(mask: Mask) -> structlog.typing.Processor:
    def masked(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for key in ("event", "exception"):
            if isinstance(event.get(key), str):
                event[key] = mask(event[key])
        return event

    return masked
