"""The logger of a server: that of its process, or, embedded in another program, one that leaves the program's alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

PROGRAM_LOGGER = "aimanager.server"
"""The logger of the standard library that the events of an embedded server go to."""

_embedded_logger: ContextVar[Any] = ContextVar("embedded_logger", default=None)


def get_logger() -> Any:
    """Return the logger for the events of the server that runs in the current context."""
    embedded = _embedded_logger.get()
    return structlog.get_logger() if embedded is None else embedded


def use_embedded_logger(redactor: Callable[[str], str], *, enabled: bool) -> None:
    """Log what is created in the current context from now on to PROGRAM_LOGGER, or nowhere.

    structlog and `logging` are not configured: that is the program's. `redactor` removes secrets from tracebacks.
    """

    def drop_if_unwanted(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if not enabled or not logger.isEnabledFor(logging.getLevelNamesMapping()[method.upper()]):
            raise structlog.DropEvent
        return event

    def to_record(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], Mapping[str, Any]]:
        if "exception" in event:
            event["exception"] = redactor(str(event["exception"]))
        name = event.pop("event")
        return (_message(name, event),), {"extra": {"event": name, "fields": dict(event)}}

    _embedded_logger.set(
        structlog.wrap_logger(
            logging.getLogger(PROGRAM_LOGGER),
            processors=[
                drop_if_unwanted,
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                to_record,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if enabled else logging.CRITICAL),
        )
    )


def _message(name: str, fields: Mapping[str, Any]) -> str:
    return " ".join((name, *(f"{field}={value!r}" for field, value in fields.items())))
