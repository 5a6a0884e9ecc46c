"""JSON logs: one event per line, each with the request id."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from pydantic_core import PydanticSerializationError, SchemaSerializer, core_schema
from structlog.contextvars import STRUCTLOG_KEY_PREFIX, STRUCTLOG_KEY_PREFIX_LEN

from .log_writer import LogWriter, sink_for

LEVELS = ("debug", "info", "warning", "error", "critical")
WRITTEN_AT_ONCE = frozenset({"error", "critical"})
"""Levels whose lines are not buffered."""

Redactor = Callable[[str], str]
"""Removes secrets from a text."""

Fields = dict[str, Any]


def configure(level: str, redactor: Redactor, stream: TextIO | None = None) -> Logs:
    """Write the server's events from `level` up, and other libraries' warnings, to `stream` (stderr) as JSON.

    Text that the server did not write (other libraries' messages, tracebacks) passes through `redactor`. The returned
    logs hold lines for up to 50 ms; `close` writes them, and `logging` calls it when the process exits.
    """
    logs = Logs(redactor, stream)
    logs.install(level)
    return logs


class Logs:
    """The process's logs, written as JSON by one writer."""

    def __init__(self, redactor: Redactor, stream: TextIO | None = None) -> None:
        self._renderer = JsonRenderer(redactor)
        self._writer = LogWriter(sink_for(stream or sys.stderr), self._renderer.dropped)

    def install(self, level: str) -> None:
        """Replace the handlers of other libraries, and write events from this level up."""
        logging.basicConfig(handlers=[_JsonHandler(self._renderer, self._writer)], force=True)
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """Write events from this level up. Loggers that are bound already keep their level."""
        number = logging.getLevelNamesMapping()[level.upper()]
        writer = self._writer
        structlog.configure(
            processors=[],
            wrapper_class=_logger_class(number, self._renderer.render, writer),
            logger_factory=lambda *_names: writer,
            cache_logger_on_first_use=False,
        )
        logging.getLogger().setLevel(max(number, logging.WARNING))

    @property
    def dropped_count(self) -> int:
        """Lines that were lost because the destination did not take them."""
        return self._writer.dropped_count

    @property
    def buffered_lines(self) -> int:
        """Lines that are not written yet."""
        return self._writer.buffered_lines

    @property
    def buffered_bytes(self) -> int:
        """Their bytes."""
        return self._writer.buffered_bytes

    def close(self) -> None:
        """Write the lines that are held. Lines written later are accepted."""
        self._writer.close()


class JsonRenderer:
    """Render an event as a line of JSON."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._to_json = SchemaSerializer(core_schema.any_schema(), {"ser_json_inf_nan": "constants"}).to_json

    def render(self, level: str, event: object, context: Mapping[str, Any], fields: Fields) -> bytes:
        """Return the line of an event: `context` are the fields bound to its logger; `fields` override them."""
        line = {"timestamp": datetime.now(UTC), "level": level, "event": event, **context, **fields}
        for variable, value in contextvars.copy_context().items():
            name = variable.name
            if name.startswith(STRUCTLOG_KEY_PREFIX) and value is not Ellipsis:
                line.setdefault(name[STRUCTLOG_KEY_PREFIX_LEN:], value)
        if "exc_info" in line:
            line = dict(structlog.processors.format_exc_info(None, level, line))
        if "exception" in line or "logger" in line:
            for untrusted in line.keys() & {"exception", "event"}:
                line[untrusted] = self._redactor(str(line[untrusted]))
        try:
            return self._to_json(line, fallback=str) + b"\n"
        except PydanticSerializationError:  # text that is not valid Unicode
            return json.dumps(line, default=str).encode() + b"\n"

    def dropped(self, count: int) -> bytes:
        """Return the line that reports lost lines. Every level includes it."""
        no_request = contextvars.Context()
        return no_request.run(self.render, "warning", "log_lines.dropped", {}, {"count": count})


def _logger_class(level: int, render: Callable[..., bytes], writer: LogWriter) -> type[Any]:
    """Return structlog's logger for `level` with methods that render and write directly, without processors."""
    base = structlog.make_filtering_bound_logger(level)
    write = writer.write

    def direct(name: str) -> Callable[..., None]:
        interpolate, at_once = getattr(base, name), name in WRITTEN_AT_ONCE

        def log(self: Any, event: object, *arguments: object, **fields: Any) -> None:
            if arguments:
                interpolate(self, event, *arguments, **fields)
            else:
                write(render(name, event, self._context, fields), at_once)

        return log

    def proxy(self: Any, method_name: str, event: object = None, **fields: Any) -> None:
        write(render(method_name, event, self._context, fields), method_name in WRITTEN_AT_ONCE)

    enabled = {name: direct(name) for name in LEVELS if logging.getLevelNamesMapping()[name.upper()] >= level}
    return type("JsonLogger", (base,), {"_proxy_to_logger": proxy, **enabled})


class _JsonHandler(logging.Handler):
    """Write the records of other libraries. Closed by `logging` at exit, which flushes the writer."""

    def __init__(self, renderer: JsonRenderer, writer: LogWriter) -> None:
        super().__init__()
        self._renderer = renderer
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as one line."""
        level = record.levelname.lower()
        try:
            line = self._renderer.render(level, record.getMessage(), {}, _fields(record))
        except Exception:
            self.handleError(record)
        else:
            self._writer.write(line, at_once=record.levelno >= logging.ERROR)

    def close(self) -> None:
        """Flush the writer."""
        self._writer.close()
        super().close()


def _fields(record: logging.LogRecord) -> Fields:
    fields: Fields = {"stack_info": record.stack_info} if record.stack_info else {}
    fields["logger"] = record.name
    if record.exc_info:
        fields["exc_info"] = record.exc_info
    return fields
