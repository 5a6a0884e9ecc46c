import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from aimanager_server.telemetry import logs as log

CANARY = "sk-canary-0123456789"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("info", lambda text: text.replace(CANARY, "[masked]"), stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_the_request_id(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")

    structlog.get_logger().info("call.finished", attempts=2)

    (event,) = lines(stream)
    assert (event["event"], event["attempts"], event["request_id"], event["level"]) == (
        "call.finished",
        2,
        "r1",
        "info",
    )
    assert str(event["timestamp"]).endswith("Z")


def test_less_severe_events_are_left_out(stream: io.StringIO) -> None:
    structlog.get_logger().debug("call.detail")
    logging.getLogger("aiohttp").info("chatter")

    assert lines(stream) == []


def test_other_libraries_speak_the_same_json(stream: io.StringIO) -> None:
    logging.getLogger("aiohttp.client").warning("unclosed %s", "session")

    (event,) = lines(stream)
    assert (event["event"], event["logger"], event["level"]) == ("unclosed session", "aiohttp.client", "warning")


def test_a_traceback_is_masked(stream: io.StringIO) -> None:
    try:
        raise KeyError(CANARY)
    except KeyError:
        structlog.get_logger().exception("rpc.failed")
        logging.getLogger("grpc").exception("failed with %s", CANARY)

    assert CANARY not in stream.getvalue()
    assert all("KeyError" in str(event["exception"]) for event in lines(stream))
