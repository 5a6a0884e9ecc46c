"""A bounded writer that sends log lines to stderr from its own thread, so that a slow stderr never blocks a call."""

from __future__ import annotations

import io
import os
import select
import sys
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, RLock, Thread
from typing import TextIO

BATCH_BYTES = getattr(select, "PIPE_BUF", 512)
"""Bytes of one write. A pipe takes as much without interleaving it with the writes of other processes."""

MAX_BUFFERED_BYTES = 256 * 1024
FLUSH_SECONDS = 0.05

RETRY_SECONDS = 1.0
"""When a failed write is repeated, if no other line is written before."""

STALL_SECONDS = 1.0
"""How long `close` waits while the destination takes nothing."""

CLOSE_SECONDS = 5.0
"""How long `close` waits in all."""

WAITING, URGENT = 1, 2

Sink = Callable[[bytes], int]
"""Write to a destination, blocking if necessary, and return the number of bytes written.

Raises OSError, or ValueError for a closed stream.
"""


class LogWriter:
    """Collect lines for at most FLUSH_SECONDS, and write them whole and in order from a thread.

    Adding a line never blocks and never fails. While the destination takes nothing, `max_buffered_bytes` are kept;
    further lines are dropped and counted, and a line reports their number once the destination takes lines again.
    Threads may share a writer, and a destructor may log while a line is added.
    """

    def __init__(
        self,
        sink: Sink,
        dropped_line: Callable[[int], bytes],
        *,
        max_buffered_bytes: int = MAX_BUFFERED_BYTES,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._sink = sink
        self._dropped_line = dropped_line
        self._max_buffered_bytes = max_buffered_bytes
        self._flush_seconds = flush_seconds
        self._lock = RLock()
        self._lines: list[bytes] = []
        self._buffered_bytes = 0
        self._unreported = 0
        self._dropped_count = 0
        self._due = 0
        self._is_failing = False
        self._wakeups: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._written_bytes = 0
        self._stalled_at = -1
        Thread(target=self._run, name="log-writer", daemon=True).start()

    @property
    def dropped_count(self) -> int:
        """Lines dropped since the start."""
        return self._dropped_count

    @property
    def buffered_lines(self) -> int:
        """Number of buffered writes."""
        return len(self._lines)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are not written yet."""
        return self._buffered_bytes

    def write(self, line: bytes, at_once: bool = False) -> None:
        """Add a line, which ends with a newline; `at_once` writes it without waiting for more lines."""
        with self._lock:
            buffered = self._buffered_bytes + len(line)
            if buffered > self._max_buffered_bytes:
                self._unreported += 1
                self._dropped_count += 1
            else:
                self._lines.append(line)
                self._buffered_bytes = buffered
            is_urgent = (at_once or 2 * buffered > self._max_buffered_bytes) and not self._is_failing
            due = URGENT if is_urgent else WAITING
            if due > self._due:
                self._due = due
                self._wakeups.put(None if due == WAITING else _nothing)

    def close(self) -> None:
        """Write what is buffered. Waits STALL_SECONDS for a destination that takes nothing, and CLOSE_SECONDS at most.

        Lines added later are written too, unless the process exits first.
        """
        written = self._written_bytes
        if written == self._stalled_at:
            return
        finished = Lock()
        finished.acquire()
        self._wakeups.put(finished.release)
        end = time.monotonic() + CLOSE_SECONDS
        while not finished.acquire(timeout=STALL_SECONDS):
            if self._written_bytes == written or time.monotonic() >= end:
                self._stalled_at = self._written_bytes
                return
            written = self._written_bytes

    def _run(self) -> None:
        while True:
            done = self._next_wakeup(RETRY_SECONDS if self._is_failing else None)
            if done is None:
                done = self._next_wakeup(self._flush_seconds)
            self._drain()
            if done is not None:
                done()

    def _next_wakeup(self, timeout: float | None) -> Callable[[], object] | None:
        """Wait for a line. Return what to call after writing; None if more lines may be collected before."""
        try:
            return self._wakeups.get(timeout=timeout)
        except Empty:
            return None

    def _drain(self) -> None:
        """Write the buffered lines, then how many were dropped; keep what cannot be written."""
        with self._lock:
            self._due = 0
            lines, self._lines = self._lines, []
            unreported, self._unreported = self._unreported, 0
        text = b"".join(lines)
        rest = text[self._write(text) :]
        if unreported and not rest:
            rest, unreported = self._report(unreported)
        with self._lock:
            if rest:
                self._lines.insert(0, rest)
            self._is_failing = bool(rest or unreported)
            self._unreported += unreported
            self._buffered_bytes += len(rest) - len(text)

    def _report(self, dropped: int) -> tuple[bytes, int]:
        """Write how many lines were dropped. Return what remains of that line, or the number if nothing was written."""
        line = self._dropped_line(dropped)
        written = self._write(line)
        return (line[written:], 0) if written else (b"", dropped)

    def _write(self, text: bytes) -> int:
        """Write whole lines in batches, and return the number of bytes written."""
        start = 0
        try:
            while start < len(text):
                written = self._sink(text[start : _batch_end(text, start)])
                start += written
                self._written_bytes += written
        except Exception:
            pass  # closed, broken or out of space: repeated later
        return start


def _nothing() -> None:
    """Mark a wake-up that does not wait for more lines."""


def _batch_end(text: bytes, start: int) -> int:
    """Return where the batch ends: after its last whole line, or inside a line that is longer than a batch."""
    end = start + BATCH_BYTES
    if end >= len(text):
        return len(text)
    return text.rfind(b"\n", start, end) + 1 or end


def sink_for(stream: TextIO | None) -> Sink:
    """Return the sink of a stream: its file descriptor if it has one. None, a closed stderr, discards the lines."""
    if stream is None:
        return len
    try:
        stream.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return _TextSink(stream)
    return _DescriptorSink(stream) if sys.platform != "win32" else _TextSink(stream)


class _DescriptorSink:
    """Write to the file descriptor of a stream. Its mode, blocking or not, is left as is: other processes share it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, data: bytes) -> int:
        descriptor = self._stream.fileno()
        while True:
            try:
                return os.write(descriptor, data)
            except BlockingIOError:
                poll = select.poll()
                poll.register(descriptor, select.POLLOUT)
                poll.poll()


class _TextSink:
    """Write to a stream without a file descriptor, such as one that a test replaced stderr with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, data: bytes) -> int:
        self._stream.write(data.decode())
        self._stream.flush()
        return len(data)
