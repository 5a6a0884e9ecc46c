"""Reads what native code writes to stderr: the log lines of gRPC's core, and any other text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

GRPC_LINE = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ([^\s\]]+:\d+)\] (.*)")
"""The log format of abseil, which gRPC's core uses."""

GRPC_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "critical"}
CRASH_PREFIX = "Fatal Python error"


@dataclass(frozen=True, slots=True)
class NativeText:
    """A log line of gRPC's core with its `source`, such as tcp_server.cc:12, or other text without a source."""

    level: str
    logger: str
    text: str
    source: str = ""


def parse_native_text(text: str) -> Iterator[NativeText]:
    r"""Yield each log line of gRPC's core, and other lines in a row as one text.

    >>> [line] = parse_native_text("E1127 15:46:28.807712    3454 tcp_server.cc:12] Failed accept4: no file left\n")
    >>> line.level, line.logger, line.source, line.text
    ('error', 'grpc', 'tcp_server.cc:12', 'Failed accept4: no file left')
    >>> [other] = parse_native_text("Fatal Python error: Aborted\n\nThread 0x1\n")
    >>> other.level, other.logger, other.text
    ('critical', 'stderr', 'Fatal Python error: Aborted\n\nThread 0x1')
    """
    others: list[str] = []
    for line in text.splitlines():
        found = GRPC_LINE.fullmatch(line)
        if found is None:
            others.append(line)
            continue
        yield from _other(others)
        others = []
        yield NativeText(GRPC_LEVELS[found[1]], "grpc", found[3].strip(), found[2])
    yield from _other(others)


def _other(lines: list[str]) -> Iterator[NativeText]:
    text = "\n".join(lines).strip()
    if text:
        yield NativeText("critical" if text.startswith(CRASH_PREFIX) else "warning", "stderr", text)
