"""Log lines in batches: order, bounds, slow and broken destinations."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

import pytest

from aimanager_server.telemetry.log_writer import BATCH_BYTES, LogWriter, sink_for


@dataclass
class RecordedSink:
    """Takes at most `room` bytes in all; None takes everything. Raises `error` if set."""

    room: int | None = None
    error: Exception | None = None
    writes: list[bytes] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, data: bytes, _timeout: float) -> int:
        if self.error is not None:
            raise self.error
        taken = data if self.room is None else data[: self.room]
        if self.room is not None:
            self.room -= len(taken)
        if taken:
            self.writes.append(taken)
            self.written.set()
        return len(taken)

    @property
    def text(self) -> bytes:
        return b"".join(self.writes)


@pytest.fixture
def sink() -> RecordedSink:
    return RecordedSink()


@pytest.fixture
def writer(sink: RecordedSink) -> LogWriter:
    return LogWriter(sink, dropped, max_buffered_bytes=2 * BATCH_BYTES, flush_seconds=0.0)


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


async def test_lines_of_one_iteration_of_the_loop_are_one_write(writer: LogWriter, sink: RecordedSink) -> None:
    for line in (b"a\n", b"b\n", b"c\n"):
        writer.write(line)
    unwritten = list(sink.writes)

    await sink.written.wait()

    assert (unwritten, sink.writes) == ([], [b"a\nb\nc\n"])


async def test_each_batch_has_its_own_timer(writer: LogWriter, sink: RecordedSink) -> None:
    for line in (b"a\n", b"b\n"):
        writer.write(line)
        await sink.written.wait()
        sink.written.clear()

    assert sink.writes == [b"a\n", b"b\n"]


async def test_line_that_must_be_written_at_once_takes_earlier_ones_with_it(
    writer: LogWriter, sink: RecordedSink
) -> None:
    writer.write(b"a\n")
    writer.write(b"b\n", at_once=True)

    assert sink.writes == [b"a\nb\n"]


def test_lines_are_written_at_once_without_a_running_loop(writer: LogWriter, sink: RecordedSink) -> None:
    writer.write(b"a\n")
    writer.write(b"b\n")

    assert sink.writes == [b"a\n", b"b\n"]


def test_lines_of_a_closed_loop_precede_the_next_line(writer: LogWriter, sink: RecordedSink) -> None:
    async def write(line: bytes) -> None:
        writer.write(line)

    asyncio.run(write(b"first loop\n"))
    writer.write(b"no loop\n")

    assert sink.text == b"first loop\nno loop\n"


def test_timer_of_a_closed_loop_does_not_count(writer: LogWriter, sink: RecordedSink) -> None:
    async def write_only() -> None:
        writer.write(b"first loop\n")

    async def write_and_wait() -> None:
        writer.write(b"second loop\n")
        await sink.written.wait()

    asyncio.run(write_only())
    asyncio.run(write_and_wait())

    assert sink.text == b"first loop\nsecond loop\n"


async def test_full_batch_is_written_before_the_timer_and_only_whole_lines(
    writer: LogWriter, sink: RecordedSink
) -> None:
    lines = numbered(3 * BATCH_BYTES // 100)

    for line in lines:
        writer.write(line)
    batches = list(sink.writes)
    writer.flush()

    assert len(batches) >= 2
    assert all(len(batch) <= BATCH_BYTES and batch.endswith(b"\n") for batch in sink.writes)
    assert sink.text == b"".join(lines)


async def test_line_longer_than_a_batch_is_written_whole_and_in_order(writer: LogWriter, sink: RecordedSink) -> None:
    lines = [b"before\n", b"x" * (2 * BATCH_BYTES - 20) + b"\n", b"after\n"]

    for line in lines:
        writer.write(line)
    writer.flush()

    assert sink.text == b"".join(lines)


async def test_destination_that_takes_half_a_line_gets_the_rest_later(writer: LogWriter, sink: RecordedSink) -> None:
    sink.room = 5
    writer.write(b"first\n", at_once=True)
    sink.room = None
    sink.written.clear()

    writer.write(b"second\n")
    await sink.written.wait()

    assert sink.text == b"first\nsecond\n"


async def test_slow_destination_is_retried_by_the_timer(writer: LogWriter, sink: RecordedSink) -> None:
    sink.room = 0
    writer.write(b"a\n", at_once=True)
    await asyncio.sleep(0)
    sink.room = None

    await sink.written.wait()

    assert sink.writes == [b"a\n"]


@pytest.mark.parametrize("error", [None, BrokenPipeError(), BlockingIOError(), ValueError("closed file")])
async def test_lines_beyond_the_buffer_are_dropped_and_counted(
    writer: LogWriter, sink: RecordedSink, error: Exception | None
) -> None:
    sink.room, sink.error = 0, error
    lines = numbered(2 * BATCH_BYTES // 100 + 7)
    kept = lines[: 2 * BATCH_BYTES // 100]

    for line in lines:
        writer.write(line)
    sink.room = sink.error = None
    writer.flush()
    writer.write(b"next\n", at_once=True)

    assert sink.text == b"".join(kept) + b"dropped 7\n" + b"next\n"


def test_destructor_that_logs_during_a_write_does_not_deadlock() -> None:
    written: list[bytes] = []

    def sink(data: bytes, _timeout: float) -> int:
        if not written:
            written.append(data)
            logging_writer.write(b"by a destructor\n")
        else:
            written.append(data)
        return len(data)

    logging_writer = LogWriter(sink, dropped)

    logging_writer.write(b"a\n")

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


def test_full_pipe_does_not_block(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    capacity = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
    writer = LogWriter(sink_for(stream), dropped)
    lines = numbered(2 * capacity // 100)

    for line in lines:
        writer.write(line)
    received = os.read(reading, capacity)
    writer.flush()
    received += os.read(reading, capacity)
    writer.flush()
    received += os.read(reading, capacity)

    assert received == b"".join(lines)


def test_closed_reader_descriptor_and_stream_are_survived() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", closefd=False) as stream:
        writer = LogWriter(sink_for(stream), dropped)
        os.close(reading)
        writer.write(b"broken pipe\n")
        os.close(writing)
        writer.write(b"closed descriptor\n")
    writer.write(b"closed stream\n")
    writer.close()

    assert stream.closed


def test_stream_without_a_descriptor_receives_text() -> None:
    stream = io.StringIO()

    LogWriter(sink_for(stream), dropped).write("é\n".encode())

    assert stream.getvalue() == "é\n"


def test_missing_stderr_discards_lines() -> None:
    assert sink_for(None)(b"line\n", 0.0) == 5
