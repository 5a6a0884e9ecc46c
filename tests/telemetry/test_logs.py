"""JSON log lines."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from aimanager_server.telemetry import logs
from tests.support.eventually import eventually

SECRET = "sk-canary-0123456789"

EXIT_SCRIPT = """
import asyncio
import structlog
from aimanager_server.telemetry import logs

async def log():
    structlog.get_logger().info("request.completed")

logs.configure("info", str)
asyncio.run(log())
"""


@dataclass(frozen=True, slots=True)
class Log:
    """What was logged."""

    stream: io.StringIO
    writer: logs.Logs

    @property
    def text(self) -> str:
        self.writer.close()
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield Log(stream, logs.configure("info", lambda text: text.replace(SECRET, "[redacted]"), stream))
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level


def test_event_is_one_json_line_with_the_request_id(log: Log) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")

    structlog.get_logger().info("request.completed", attempts=2)

    (line,) = log.lines
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"event": "request.completed", "attempts": 2, "request_id": "r1", "level": "info"}


def test_fields_keep_their_order(log: Log) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")

    structlog.get_logger().bind(provider="mock").warning("request.failed", reason="QUOTA", attempts=None)

    (line,) = log.lines
    assert list(line) == ["timestamp", "level", "event", "provider", "reason", "attempts", "request_id"]


def test_every_method_of_a_logger_writes_its_level(log: Log) -> None:
    logger = structlog.get_logger()
    logger.info("%d of %d", 1, 2)
    logger.warn("old name")
    logger.log(logging.ERROR, "by number", count=1)
    logger.fatal("old name")
    asyncio.run(logger.ainfo("from a thread"))

    assert [(line["level"], line["event"]) for line in log.lines] == [
        ("info", "1 of 2"),
        ("warning", "old name"),
        ("error", "by number"),
        ("critical", "old name"),
        ("info", "from a thread"),
    ]


def test_text_that_is_not_valid_unicode_is_escaped(log: Log) -> None:
    structlog.get_logger().info("request.completed", caller="\ud800")

    (line,) = log.lines
    assert line["caller"] == "\ud800"


@pytest.mark.parametrize("logger_of", [structlog.get_logger, lambda: logging.getLogger("grpc")])
async def test_an_error_is_written_without_waiting_for_more_lines(logger_of: Callable[[], Any], log: Log) -> None:
    structlog.get_logger().info("request.completed")
    logger_of().error("failed")

    await eventually(lambda: log.stream.getvalue().count("\n"), 2)


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
    assert [line["event"] for line in written] == ([] if redirection else ["request.completed"])


def test_events_below_the_level_are_dropped(log: Log) -> None:
    structlog.get_logger().debug("request.detail")
    logging.getLogger("httpx").info("chatter")

    assert log.lines == []


def test_warnings_of_other_libraries_use_the_same_json(log: Log) -> None:
    logging.getLogger("httpx.client").warning("unclosed %s", "session")

    (line,) = log.lines
    assert (line["event"], line["logger"], line["level"]) == ("unclosed session", "httpx.client", "warning")


def test_tracebacks_are_redacted(log: Log) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError:
        structlog.get_logger().exception("rpc.failed")
        logging.getLogger("grpc").exception("failed with %s", SECRET)

    assert SECRET not in log.text
    assert all("KeyError" in str(line["exception"]) for line in log.lines)


def test_the_level_changes_without_new_handlers(log: Log) -> None:
    handlers = logging.getLogger().handlers[:]
    log.writer.set_level("error")
    structlog.get_logger().info("not.logged")
    logging.getLogger("other").warning("not logged")

    log.writer.set_level("debug")
    structlog.get_logger().debug("is.logged")
    logging.getLogger("other").warning("is logged")

    assert [line["event"] for line in log.lines] == ["is.logged", "is logged"]
    assert logging.getLogger().handlers == handlers
