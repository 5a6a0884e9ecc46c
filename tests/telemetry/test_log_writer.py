"""Log lines in batches from a thread: order, bounds, slow, blocked and broken destinations."""

from __future__ import annotations

import fcntl
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

import pytest

from aimanager_server.telemetry.log_writer import BATCH_BYTES, LogWriter, sink_for

TIMEOUT = 10.0
"""Seconds after which a test fails rather than waits."""


@dataclass
class RecordedSink:
    """Takes writes while it is open; a write to a closed one blocks. Raises `error` if set."""

    error: Exception | None = None
    writes: list[bytes] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)

    def __call__(self, data: bytes) -> int:
        self.called.set()
        self.open.wait(TIMEOUT)
        if self.error is not None:
            raise self.error
        self.writes.append(data)
        return len(data)

    @property
    def text(self) -> bytes:
        return b"".join(self.writes)


@pytest.fixture
def sink() -> RecordedSink:
    sink = RecordedSink()
    sink.open.set()
    return sink


@pytest.fixture
def writer(sink: RecordedSink) -> LogWriter:
    return LogWriter(sink, dropped, max_buffered_bytes=2 * BATCH_BYTES, flush_seconds=TIMEOUT)


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def dropped(count: int) -> bytes:
    return b"dropped %d\n" % count


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [(b"%d " % number).ljust(size - 1, b".") + b"\n" for number in range(count)]


def test_lines_are_collected_and_written_together(writer: LogWriter, sink: RecordedSink) -> None:
    for line in (b"a\n", b"b\n", b"c\n"):
        writer.write(line)
    unwritten = list(sink.writes)

    writer.close()

    assert (unwritten, sink.writes) == ([], [b"a\nb\nc\n"])


def test_collected_lines_are_written_without_a_further_line(sink: RecordedSink) -> None:
    writer = LogWriter(sink, dropped, flush_seconds=0.0)

    writer.write(b"a\n")

    assert sink.called.wait(TIMEOUT)


def test_a_line_that_is_written_at_once_takes_earlier_ones_with_it(writer: LogWriter, sink: RecordedSink) -> None:
    writer.write(b"a\n")
    writer.write(b"b\n", at_once=True)

    assert sink.called.wait(TIMEOUT)
    writer.close()
    assert sink.writes == [b"a\nb\n"]


def test_a_half_full_buffer_is_written_at_once(writer: LogWriter, sink: RecordedSink) -> None:
    for line in numbered(BATCH_BYTES // 100 + 1):
        writer.write(line)

    assert sink.called.wait(TIMEOUT)


def test_batches_consist_of_whole_lines(writer: LogWriter, sink: RecordedSink) -> None:
    lines = numbered(2 * BATCH_BYTES // 100)

    for line in lines:
        writer.write(line)
    writer.close()

    assert all(len(batch) <= BATCH_BYTES and batch.endswith(b"\n") for batch in sink.writes)
    assert sink.text == b"".join(lines)


def test_a_line_longer_than_a_batch_is_written_whole_and_in_order(writer: LogWriter, sink: RecordedSink) -> None:
    lines = [b"before\n", b"x" * (2 * BATCH_BYTES - 20) + b"\n", b"after\n"]

    for line in lines:
        writer.write(line)
    writer.close()

    assert sink.text == b"".join(lines)


def test_lines_beyond_the_buffer_of_a_blocked_destination_are_dropped_and_counted(
    writer: LogWriter, sink: RecordedSink
) -> None:
    sink.open.clear()
    lines = numbered(2 * BATCH_BYTES // 100 + 7)
    kept = lines[: 2 * BATCH_BYTES // 100]

    for line in lines:
        writer.write(line)
    sink.open.set()
    writer.close()
    writer.write(b"next\n")
    writer.close()

    assert sink.text == b"".join(kept) + b"dropped 7\n" + b"next\n"
    assert writer.dropped_count == 7


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("closed file"), RuntimeError("of a test's stream")])
def test_lines_for_a_broken_destination_are_kept_within_the_buffer(
    writer: LogWriter, sink: RecordedSink, error: Exception
) -> None:
    sink.error = error
    lines = numbered(2 * BATCH_BYTES // 100 + 7)
    kept = lines[: 2 * BATCH_BYTES // 100]

    for line in lines:
        writer.write(line)
    writer.close()
    sink.error = None
    writer.close()

    assert sink.text == b"".join(kept) + b"dropped 7\n"


def test_a_failed_report_of_dropped_lines_is_repeated(writer: LogWriter, sink: RecordedSink) -> None:
    kept = numbered(BATCH_BYTES // 100)
    batches = iter([None, BrokenPipeError()])

    def take_one_batch(data: bytes) -> int:
        sink.error = next(batches, None)
        return sink(data)

    failing = LogWriter(take_one_batch, dropped, max_buffered_bytes=BATCH_BYTES, flush_seconds=TIMEOUT)
    sink.open.clear()
    for line in (*kept, b"x" * BATCH_BYTES + b"\n"):
        failing.write(line)
    sink.open.set()
    failing.close()
    failing.close()

    assert sink.text == b"".join(kept) + b"dropped 1\n"


def test_a_partial_write_is_continued(sink: RecordedSink) -> None:
    writer = LogWriter(lambda data: sink(data[:3]), dropped)

    writer.write(b"first\n")
    writer.write(b"second\n")
    writer.close()

    assert sink.text == b"first\nsecond\n"


def test_closing_does_not_wait_for_a_blocked_destination(writer: LogWriter, sink: RecordedSink) -> None:
    sink.open.clear()
    writer.write(b"a\n")

    writer.close()
    writer.close()

    assert sink.writes == []
    sink.open.set()


def test_a_destructor_that_logs_during_a_write_does_not_deadlock() -> None:
    written: list[bytes] = []

    def sink(data: bytes) -> int:
        if not written:
            logging_writer.write(b"by a destructor\n", at_once=True)
        written.append(data)
        return len(data)

    logging_writer = LogWriter(sink, dropped)

    logging_writer.write(b"a\n")
    logging_writer.close()
    logging_writer.close()

    assert written == [b"a\n", b"by a destructor\n"]


def test_threads_do_not_interleave_lines(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    writer = LogWriter(sink_for(stream), dropped)
    lines = [[b"%d" % thread * 500 + b"\n"] * 100 for thread in range(4)]
    received: list[bytes] = []
    expected = sum(len(line) for part in lines for line in part)

    def read() -> None:
        while sum(map(len, received)) < expected:
            received.append(os.read(reading, 1 << 16))

    def write(part: list[bytes]) -> None:
        for line in part:
            writer.write(line)

    threads = [threading.Thread(target=write, args=[part]) for part in lines]
    reader = threading.Thread(target=read)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    reader.join()

    assert sorted(b"".join(received).splitlines(keepends=True)) == sorted(line for part in lines for line in part)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_full_pipe_does_not_block_the_caller(pipe: tuple[int, TextIO], is_blocking: bool) -> None:
    reading, stream = pipe
    os.set_blocking(stream.fileno(), is_blocking)
    capacity = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
    writer = LogWriter(sink_for(stream), dropped)
    lines = numbered(2 * capacity // 100)
    expected = b"".join(lines)

    for line in lines:
        writer.write(line, at_once=True)
    received = b""
    while len(received) < len(expected):
        received += os.read(reading, capacity)

    assert received == expected


def test_a_closed_reader_descriptor_and_stream_are_survived() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", closefd=False) as stream:
        writer = LogWriter(sink_for(stream), dropped)
        os.close(reading)
        writer.write(b"broken pipe\n")
        writer.close()
        os.close(writing)
        writer.write(b"closed descriptor\n")
        writer.close()
    writer.write(b"closed stream\n")
    writer.close()

    assert stream.closed


def test_a_stream_without_a_descriptor_receives_text() -> None:
    stream = io.StringIO()
    writer = LogWriter(sink_for(stream), dropped)

    writer.write("é\n".encode())
    writer.close()

    assert stream.getvalue() == "é\n"


def test_a_missing_stderr_discards_lines() -> None:
    assert sink_for(None)(b"line\n") == 5
