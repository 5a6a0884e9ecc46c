"""A program that turns native text on its standard input into JSON log lines; `StderrCapture` starts it.

It imports the standard library alone, so that it starts fast and needs little memory.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TextIO

from .log_writer import LogWriter, sink_for
from .native_text import NativeText, parse_native_text
from .redaction import redact, redact_metadata

STDIN, STDOUT = range(2)
READ_BYTES = 64 * 1024
MAX_TEXT_BYTES = 16 * 1024
"""Longer texts are split."""

QUIET_SECONDS = 0.05
"""A text is complete after this long without more."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A line of JSON: the lowest level to write, the secrets to redact, and a maximum length."""

    level: str
    secrets: tuple[str, ...]
    max_length: int

    def to_line(self) -> bytes:
        """Return the line."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Write the lines to stderr until the input ends, and on stdout how many were dropped so far.

    The second argument is a descriptor from which configurations are read, the first one before anything else.
    """
    os.set_blocking(STDOUT, False)
    configurations = Configurations(int(sys.argv[2]))
    while configurations.current is None:
        if not configurations.read():
            return
    collect(STDIN, b"", sys.stderr, configurations, _report_dropped)


class Configurations:
    """The latest of the configurations that arrive in a pipe; -1 stands for none."""

    def __init__(self, descriptor: int = -1, current: Configuration | None = None) -> None:
        self.descriptor = descriptor
        self.current = current
        self._unread = b""

    def read(self) -> bool:
        """Read once. Return False if the pipe is closed."""
        data = os.read(self.descriptor, READ_BYTES)
        *lines, self._unread = (self._unread + data).split(b"\n")
        if lines:
            self.current = Configuration(**json.loads(lines[-1]))
        return bool(data)


def collect(
    descriptor: int,
    text: bytes,
    stream: TextIO | None,
    configurations: Configurations,
    on_dropped: Callable[[int], None],
) -> None:
    """Write `text` and what follows in a pipe to `stream` as JSON lines, until the pipe is closed.

    `on_dropped` receives how many lines have been dropped since the start, whenever that changes.
    """
    writer = LogWriter(sink_for(stream), _dropped_line)
    reported = 0

    def write(part: bytes) -> None:
        nonlocal reported
        configuration = configurations.current
        assert configuration is not None
        redactor = partial(redact, secrets=configuration.secrets, max_length=configuration.max_length)
        for entry in parse_native_text(part.decode("utf-8", "backslashreplace")):
            if _number(entry.level) >= _number(configuration.level):
                writer.write(_line(entry, redactor), at_once=True)
        if writer.dropped_count > reported:
            reported = writer.dropped_count
            on_dropped(reported)

    _read(descriptor, text, configurations, write)
    writer.close()


def _read(descriptor: int, text: bytes, configurations: Configurations, write: Callable[[bytes], None]) -> None:
    """Pass on whole lines when nothing more follows for QUIET_SECONDS, or in parts of about MAX_TEXT_BYTES."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if configurations.descriptor >= 0:
        poll.register(configurations.descriptor, select.POLLIN)
    while True:
        ready = {each for each, _ in poll.poll(1000 * QUIET_SECONDS if text else None)}
        # First, so that it applies to what was written after it.
        if configurations.descriptor in ready and not configurations.read():
            poll.unregister(configurations.descriptor)
        is_quiet = not ready
        if not is_quiet and descriptor not in ready:
            continue
        more = b"" if is_quiet else os.read(descriptor, READ_BYTES)
        text += more
        if not more or len(text) >= MAX_TEXT_BYTES:
            end = len(text) if not more else text.rfind(b"\n") + 1 or len(text)
            write(text[:end])
            text = text[end:]
        if not (more or is_quiet):
            return


def _line(entry: NativeText, redactor: Callable[[str], str]) -> bytes:
    if not entry.source:
        return _json(level=entry.level, event=redactor(entry.text), logger=entry.logger)
    event = redactor(redact_metadata(entry.text))
    return _json(level=entry.level, event=event, logger=entry.logger, source=entry.source)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _dropped_line(count: int) -> bytes:
    return _json(level="warning", event="log_lines.dropped", count=count)


def _json(**fields: object) -> bytes:
    timestamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"timestamp": timestamp, **fields}, separators=(",", ":")).encode() + b"\n"


def _report_dropped(count: int) -> None:
    # A pipe that is full, as nothing scrapes the metrics, does not matter: the next count includes this one.
    with suppress(OSError):
        os.write(STDOUT, b"%d\n" % count)
