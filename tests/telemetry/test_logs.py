"""JSON log lines."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from aimanager_server.telemetry import logs

SECRET = "sk-canary-0123456789"

EXIT_SCRIPT = """
import asyncio, threading
import structlog
from aimanager_server.telemetry import logs

async def log():
    structlog.get_logger().info("request.completed", threads=threading.active_count())

logs.configure("info", str)
asyncio.run(log())
"""


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("info", lambda text: text.replace(SECRET, "[redacted]"), stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_is_one_json_line_with_the_request_id(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")

    structlog.get_logger().info("request.completed", attempts=2)

    (line,) = lines(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "request.completed", "attempts": 2, "request_id": "r1", "level": "info"}


def test_fields_keep_their_order(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")

    structlog.get_logger().bind(provider="mock").warning("request.failed", reason="QUOTA", attempts=None)

    (line,) = lines(stream)
    assert list(line) == ["timestamp", "level", "event", "provider", "reason", "attempts", "request_id"]


def test_every_method_of_a_logger_writes_its_level(stream: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info("%d of %d", 1, 2)
    log.warn("old name")
    log.log(logging.ERROR, "by number", count=1)
    log.fatal("old name")
    asyncio.run(log.ainfo("from a thread"))

    assert [(line["level"], line["event"]) for line in lines(stream)] == [
        ("info", "1 of 2"),
        ("warning", "old name"),
        ("error", "by number"),
        ("critical", "old name"),
        ("info", "from a thread"),
    ]


def test_text_that_is_not_valid_unicode_is_escaped(stream: io.StringIO) -> None:
    structlog.get_logger().info("request.completed", caller="\ud800")

    (line,) = lines(stream)
    assert line["caller"] == "\ud800"


async def test_errors_are_not_buffered(stream: io.StringIO) -> None:
    structlog.get_logger().info("request.completed")
    buffered = stream.getvalue()

    structlog.get_logger().error("rpc.crashed")
    logging.getLogger("grpc").error("failed")

    assert buffered == ""
    assert [line["event"] for line in lines(stream)] == ["request.completed", "rpc.crashed", "failed"]


async def test_lost_lines_are_reported_without_the_request_that_found_the_loss() -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")

    line = json.loads(logs.JsonRenderer(str).dropped(3))

    line.pop("timestamp")
    assert line == {"level": "warning", "event": "log_lines.dropped", "count": 3}


@pytest.mark.parametrize("redirection", ["", "2>&-"])
def test_buffered_lines_are_written_at_exit(redirection: str) -> None:
    shell = f'"$0" -c "$1" {redirection}'

    done = subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, EXIT_SCRIPT], capture_output=True, text=True, check=True
    )

    written = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["threads"]) for line in written] == ([] if redirection else [("request.completed", 1)])


def test_events_below_the_level_are_dropped(stream: io.StringIO) -> None:
    structlog.get_logger().debug("request.detail")
    logging.getLogger("httpx").info("chatter")

    assert lines(stream) == []


def test_warnings_of_other_libraries_use_the_same_json(stream: io.StringIO) -> None:
    logging.getLogger("httpx.client").warning("unclosed %s", "session")

    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("unclosed session", "httpx.client", "warning")


def test_tracebacks_are_redacted(stream: io.StringIO) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError:
        structlog.get_logger().exception("rpc.failed")
        logging.getLogger("grpc").exception("failed with %s", SECRET)

    assert SECRET not in stream.getvalue()
    assert all("KeyError" in str(line["exception"]) for line in lines(stream))
