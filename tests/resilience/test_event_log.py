"""A log of events: whole until it is sealed, then what not all readers have read."""

from __future__ import annotations

import pytest

from aimanager_server.core.content import Artifact, Attachment, Reasoning, Text, ToolCall, ToolResult
from aimanager_server.core.response import (
    ArtifactExtracted,
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ReasoningDelta,
    ReasoningProgress,
    TextDelta,
    ToolCallDelta,
)
from aimanager_server.resilience.event_log import EVENT_BYTES, EventLog, LogLimits, LogMemory

LARGE = "x" * 10_000
LIMITS = LogLimits(total=100_000, of_one=50_000, in_any_case=5_000)


def new_log() -> tuple[EventLog, LogMemory]:
    memory = LogMemory(LIMITS)
    return EventLog(memory), memory


def test_readers_read_copies_of_the_same_batches() -> None:
    log, _ = new_log()
    one, other = log.open_cursor(), log.open_cursor()
    log.append([TextDelta(0, "a")])

    first = log.read(one)
    assert first == [TextDelta(0, "a")]
    first.clear()

    assert (log.peek(other), log.read(other)) == ([TextDelta(0, "a")], [TextDelta(0, "a")])
    assert (log.peek(other), log.read(other)) == ((), None)


def test_sealed_log_forgets_what_all_have_read() -> None:
    log, memory = new_log()
    fast, slow = log.open_cursor(), log.open_cursor()
    for text in ("a", "b", "c"):
        log.append([TextDelta(0, text)])
    log.read(fast), log.read(fast), log.read(slow)
    whole = log.size

    log.seal()
    assert log.size == memory.used == whole / 3 * 2
    log.drop(slow)
    assert log.size == memory.used == whole / 3
    log.drop(slow)
    log.read(fast)

    assert log.size == memory.used == 0
    assert log.read(slow) is None
    assert log.peek(slow) == ()


def test_laggards_are_those_in_the_first_half() -> None:
    log, _ = new_log()
    cursors = [log.open_cursor() for _ in range(5)]
    for _ in range(4):
        log.append([TextDelta(0, LARGE)])
    for number, cursor in enumerate(cursors):
        for _ in range(number):
            log.read(cursor)
    log.seal()

    log.drop_laggards()

    assert [cursor.is_dropped for cursor in cursors] == [True, True, False, False, False]
    assert log.size == 2 * (EVENT_BYTES + TextDelta(0, LARGE).text.__sizeof__())


def test_log_may_hold_less_while_the_memory_of_all_is_used_up() -> None:
    log, memory = new_log()
    log.append([TextDelta(0, LARGE)])
    before = log.is_full

    memory.used += LIMITS.total

    assert (before, log.is_full, memory.is_full) == (False, True, True)


@pytest.mark.parametrize(
    "event",
    [
        TextDelta(0, LARGE),
        ReasoningDelta(0, LARGE),
        ToolCallDelta(0, "", "", LARGE),
        PartCompleted(0, Text(LARGE)),
        PartCompleted(0, Reasoning("", provider_state=LARGE.encode())),
        PartCompleted(0, ToolCall("1", "f", LARGE)),
        PartCompleted(0, ToolResult("1", "f", LARGE)),
        PartCompleted(0, Attachment("image/png", data=LARGE.encode())),
        ArtifactExtracted(Artifact("1", "a.txt", "text/plain", text=LARGE)),
        Finished(FinishReason.STOP, structured_json=LARGE),
    ],
    ids=lambda event: type(event).__name__,
)
def test_content_counts(event: Event) -> None:
    log, memory = new_log()

    log.append([event, ReasoningProgress()])

    assert log.size == memory.used
    assert len(LARGE) + EVENT_BYTES <= log.size <= len(LARGE) + 3 * EVENT_BYTES
