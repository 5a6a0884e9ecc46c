"""docs/logs.md matches what the server logs."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from aimanager import AIError, AIManager
from aimanager_server.commands.reference.log_events import LogEvent, log_events
from aimanager_server.commands.reference.logs import event_table, log_parts
from aimanager_server.commands.reference.markdown import fill
from aimanager_server.commands.serve import MAX_LOG_TEXT_LENGTH
from aimanager_server.telemetry import log_writer, logs
from tests.support.doc_blocks import DOCS, code_blocks
from tests.support.gateway import settings_with, started_gateway

RUNS = {("logs.md", "json"): "test_a_completed_request_has_the_fields_of_the_example"}

PAGE = (DOCS / "logs.md").read_text("utf-8")
EVENTS = {event.name: event for event in log_events()}
EVERY_LINE = {"timestamp", "level", "event", "request_id"}


@pytest.fixture(scope="module")
def lines() -> Iterator[list[dict[str, object]]]:
    """What a gateway logs that completes a call, and then fails until its circuit breaker opens."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    writer = logs.configure("debug", str, stream)
    settings = settings_with(providers={"mock": {"options": {"faults_count": True}}})
    try:
        with started_gateway(settings) as target, AIManager.gateway(target) as ai:
            ai.request("Hi", idempotency_key="log-0123456789-0123456789")
            for _ in range(6):
                with pytest.raises(AIError):
                    ai.request("[[error: PROVIDER_ERROR]]")
        writer.close()
        yield [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level


def test_the_table_is_up_to_date() -> None:
    assert fill(PAGE, log_parts()) == PAGE, "run 'make docs'"


def test_an_event_without_a_description_is_reported() -> None:
    with pytest.raises(ValueError, match=r"descriptions without an event: \['a\.b', 'a\.c'\]"):
        event_table([LogEvent("a.b", "info", (), "a.py")], {"a.c": "Never."})


def test_every_field_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \| .* \|$", PAGE, re.MULTILINE))))

    assert {field for event in EVENTS.values() for field in event.fields} - described == set()


def test_every_emitted_line_is_on_the_page(lines: list[dict[str, object]]) -> None:
    emitted = {str(line["event"]) for line in lines}

    assert {"server.started", "request.completed", "request.failed", "circuit_breaker.opened", "rpc.failed"} <= emitted
    assert emitted <= EVENTS.keys()
    for line in lines:
        event = EVENTS[str(line["event"])]
        assert line["level"] == event.level
        assert line.keys() - EVERY_LINE <= set(event.fields), event.name


def test_a_completed_request_has_the_fields_of_the_example(lines: list[dict[str, object]]) -> None:
    [block] = code_blocks("logs.md", "json")
    example = json.loads(block.text)
    completed = next(line for line in lines if line["event"] == "request.completed")
    varying = {"timestamp", "duration_seconds", "request_id"}

    assert list(completed) == list(example)
    assert {name: completed[name] for name in example.keys() - varying} == {
        name: example[name] for name in example.keys() - varying
    }


def test_the_figures_are_those_of_the_code() -> None:
    assert log_writer.BATCH_BYTES <= 4096
    for figure in (
        f"{1000 * log_writer.FLUSH_SECONDS:g} ms",
        f"{log_writer.MAX_BUFFERED_BYTES // 1024} KiB",
        f"at most {MAX_LOG_TEXT_LENGTH} characters",
    ):
        assert figure in PAGE


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ('log.info("a.b", n=1, exc_info=error)', LogEvent("a.b", "info", ("n", "exception"), "a.py")),
        ('log.exception("a.b", n=1)', LogEvent("a.b", "error", ("n", "exception"), "a.py")),
        (
            'def f(**rest):\n    more = {"x": 1}\n    self._log.error("a.b", **more, **rest)\nself.f(y=2)',
            LogEvent("a.b", "error", ("x", "y"), "a.py"),
        ),
        (
            'def facts():\n    return {"x": 1}\nlog.warning("a.b", **({"z": 0} if z else {}), **self.facts())',
            LogEvent("a.b", "warning", ("z", "x"), "a.py"),
        ),
        ('run(render, "warning", "a.b", {}, {"count": 1})', LogEvent("a.b", "warning", ("count",), "a.py")),
    ],
)
def test_every_way_to_log_is_found(source: str, event: LogEvent, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(source)

    assert log_events(tmp_path) == [event]


@pytest.mark.parametrize("source", ["self._log.info(name)", 'get_logger().error("Failed.")'])
def test_an_event_without_a_literal_name_is_reported(source: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(source)

    with pytest.raises(ValueError, match=r"a\.py:1: the name of the event must be a literal"):
        log_events(tmp_path)


def test_two_forms_of_one_event_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('log.info("a.b")\nlog.error("a.b")\n')

    with pytest.raises(ValueError, match=r"a\.b is logged differently"):
        log_events(tmp_path)
