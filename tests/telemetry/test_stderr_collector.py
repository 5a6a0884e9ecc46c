"""The process that turns native text on stderr into JSON lines."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
from typing import Any

from aimanager_server.telemetry.redaction import REDACTED
from aimanager_server.telemetry.stderr_capture import StderrCapture
from aimanager_server.telemetry.stderr_collector import MAX_TEXT_BYTES, Configuration, Configurations, collect

HANDSHAKE = "I1127 15:46:28.807712    3454 ssl_transport_security.cc:2563] Handshake failed\n"
FAILURE = "E1127 15:46:28.807712    3454 tcp_server.cc:12] Failed accept4\n"
CRASH = "Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n"


def collected(text: bytes, level: str = "info", secrets: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the lines for a text, of which the beginning was read with the configuration."""
    reading, writing = os.pipe()
    os.write(writing, text[5:])
    os.close(writing)
    stream = io.StringIO()
    configurations = Configurations(current=Configuration(level, secrets, 20_000))
    collect(reading, text[:5], stream, configurations, lambda count: None)
    os.close(reading)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{name: value for name, value in line.items() if name != "timestamp"} for line in lines]


def test_lines_of_grpc_and_other_text_become_events_in_order() -> None:
    assert collected(f"{HANDSHAKE}{CRASH}{FAILURE}a warning".encode()) == [
        {"level": "info", "event": "Handshake failed", "logger": "grpc", "source": "ssl_transport_security.cc:2563"},
        {"level": "critical", "event": CRASH.strip(), "logger": "stderr"},
        {"level": "error", "event": "Failed accept4", "logger": "grpc", "source": "tcp_server.cc:12"},
        {"level": "warning", "event": "a warning", "logger": "stderr"},
    ]


def test_lines_below_the_level_are_dropped() -> None:
    assert [line["level"] for line in collected(f"{HANDSHAKE}{FAILURE}".encode(), "warning")] == ["error"]


def test_bytes_that_are_not_utf_8_are_escaped() -> None:
    assert [line["event"] for line in collected(b"\xff\n")] == ["\\xff"]


def test_a_long_text_is_split() -> None:
    text = b"x" * (MAX_TEXT_BYTES + 10)

    events = [line["event"] for line in collected(text)]

    assert "".join(events).encode() == text
    assert max(map(len, events)) <= 65536


def test_secrets_and_metadata_are_redacted() -> None:
    text = b"I1127 15:46:28.807712    3454 hpack_parser.cc:1] HDR: x-api-key: canary\nhunter2 and sk-canary-0123\n"

    events = [line["event"] for line in collected(text, secrets=("hunter2",))]

    assert events == [f"HDR: x-api-key: {REDACTED}", f"{REDACTED} and {REDACTED}"]


SCRIPT = """
import os
from aimanager_server.telemetry.stderr_capture import StderrCapture
with StderrCapture("error", (), 20_000) as capture:
    capture.reconfigure("info", ("hunter2",))
    os.write(2, b"I1127 15:46:28.807712    3454 a.cc:1] Handshake failed with hunter2\\n")
"""


def test_the_process_that_writes_the_lines_can_be_reconfigured() -> None:
    script = subprocess.run([sys.executable, "-c", SCRIPT], stderr=subprocess.PIPE, check=True, timeout=60)

    [line] = map(json.loads, script.stderr.splitlines())

    assert (line["level"], line["event"]) == ("info", f"Handshake failed with {REDACTED}")


def test_dropped_lines_are_reported_to_the_server() -> None:
    reading, writing = os.pipe()
    blocked, full = os.pipe()
    counts: list[int] = []
    with open(full, "w") as stream, open(blocked, "rb") as log:
        stream.write("x" * fcntl.fcntl(full, fcntl.F_GETPIPE_SZ))
        stream.flush()
        os.write(writing, FAILURE.encode() * 500)
        os.close(writing)

        configurations = Configurations(current=Configuration("info", (), 20_000))
        collect(reading, FAILURE.encode() * 2000, stream, configurations, counts.append)

        assert log.read(1) == b"x"
    os.close(reading)
    assert counts
    assert 0 < counts[-1] < 2500


def test_if_no_process_can_be_started_stderr_stays_as_it_is() -> None:
    before = os.stat(2).st_ino

    with StderrCapture("info", (), 20_000, python="/nowhere/python") as capture:
        during = os.stat(2).st_ino

    assert during == before
    assert capture.stream is sys.stderr
    assert capture.dropped_count == 0
