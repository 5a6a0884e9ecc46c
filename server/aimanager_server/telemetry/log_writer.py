"""A bounded writer that sends log lines to stderr in batches and never blocks the event loop."""

from __future__ import annotations

import asyncio
import io
import os
import select
import sys
from collections.abc import Callable
from threading import RLock
from typing import TextIO

BATCH_BYTES = getattr(select, "PIPE_BUF", 512)
"""Bytes of one write. A pipe takes as much without blocking or interleaving the writes of other processes."""

MAX_BUFFERED_BYTES = 256 * 1024
FLUSH_SECONDS = 0.05
CLOSE_SECONDS = 1.0

Sink = Callable[[bytes, float], int]
"""Write what the destination takes at once and return the number of bytes; wait for it at most so many seconds.

Raises OSError, or ValueError for a closed stream.
"""


class LogWriter:
    """Buffer lines for at most BATCH_BYTES or FLUSH_SECONDS, and write them whole and in order.

    A timer of the running event loop writes what a batch does not fill; without a running loop each line is written at
    once. A destination that does not take the lines is retried while the buffer has room; further lines are dropped and
    counted. Threads may share a writer, and a destructor may log while a line is written.
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
        self._dropped = 0
        self._is_flushing = False
        self._is_stalled = False
        self._timer_loop: asyncio.AbstractEventLoop | None = None

    def write(self, line: bytes, at_once: bool = False) -> None:
        """Add a line, which ends with a newline; `at_once` writes it before returning, if the destination takes it."""
        with self._lock:
            buffered = self._buffered_bytes + len(line)
            if buffered > BATCH_BYTES:
                if not self._is_stalled:
                    self.flush()
                buffered = self._buffered_bytes + len(line)
                if buffered > self._max_buffered_bytes:
                    self._dropped += 1
                    return
            self._lines.append(line)
            self._buffered_bytes = buffered
            if not self._start_timer() or at_once:
                self.flush()

    def flush(self, timeout: float = 0.0) -> None:
        """Write the buffered lines until the destination takes no more for `timeout` seconds."""
        with self._lock:
            if self._is_flushing:
                return
            self._is_flushing = True
            try:
                self._is_stalled = not self._drain(timeout)
            finally:
                self._is_flushing = False
                self._buffered_bytes = sum(map(len, self._lines))

    def close(self) -> None:
        """Flush, waiting for a slow destination at most CLOSE_SECONDS a batch. Lines written later are accepted."""
        self.flush(CLOSE_SECONDS)

    def _drain(self, timeout: float) -> bool:
        """Return whether the buffer is empty now."""
        while self._lines or self._dropped:
            if not self._lines:
                dropped, self._dropped = self._dropped, 0
                self._lines.append(self._dropped_line(dropped))
            lines, self._lines = self._lines, []
            buffered = b"".join(lines)
            written = self._write_batches(buffered, timeout)
            if written < len(buffered):
                self._lines.insert(0, buffered[written:])
                return False
        return True

    def _write_batches(self, buffered: bytes, timeout: float) -> int:
        start = 0
        try:
            while start < len(buffered):
                written = self._sink(buffered[start : _batch_end(buffered, start)], timeout)
                if written == 0:
                    break
                start += written
        except (OSError, ValueError):
            pass  # closed, broken or out of space: retried with the next flush
        return start

    def _start_timer(self) -> bool:
        """Start the timer unless it is pending in the running loop. Return False if no loop runs in this thread.

        Another loop, such as that of a plug-in, may be closed or blocked: its timer does not count.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if loop is not self._timer_loop:
            loop.call_later(self._flush_seconds, self._on_timer, loop)
            self._timer_loop = loop
        return True

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if self._timer_loop is loop:
                self._timer_loop = None
            self.flush()
            if self._is_stalled:
                self._start_timer()


def _batch_end(buffered: bytes, start: int) -> int:
    """Return where the batch ends: after its last whole line, or inside a line that is longer than a batch."""
    end = start + BATCH_BYTES
    if end >= len(buffered):
        return len(buffered)
    return buffered.rfind(b"\n", start, end) + 1 or end


def sink_for(stream: TextIO | None) -> Sink:
    """Return the sink of a stream: its file descriptor if it has one. None, a closed stderr, discards the lines."""
    if stream is None:
        return lambda data, _timeout: len(data)
    try:
        stream.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return _TextSink(stream)
    return _DescriptorSink(stream) if sys.platform != "win32" else _TextSink(stream)


class _DescriptorSink:
    """Write to the file descriptor of a stream when it is ready. Its mode is left as is: other processes share it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, data: bytes, timeout: float) -> int:
        descriptor = self._stream.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return os.write(descriptor, data) if poll.poll(1000 * timeout) else 0


class _TextSink:
    """Write to a stream without a file descriptor, such as one that a test replaced stderr with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, data: bytes, _timeout: float) -> int:
        self._stream.write(data.decode())
        self._stream.flush()
        return len(data)
