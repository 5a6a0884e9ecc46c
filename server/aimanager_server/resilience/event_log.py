"""The events of one response: written once, read by any number of readers, each at its own pace, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.content import Attachment, Part, Reasoning, Text, ToolCall, ToolResult
from ..core.response import ArtifactExtracted, Event, Finished, PartCompleted, ReasoningDelta, TextDelta, ToolCallDelta
from ..core.value import dataclass

EVENT_BYTES = 256
"""Counted for each event besides its texts, which bounds the number of events as well."""


MAX_BYTES = 64 * 1024 * 1024
"""Of all logs."""
MAX_LOG_BYTES = 8 * 1024 * 1024
"""Of one log, which one more read of the provider may exceed; after that nobody may join. About 25,000 tokens, if
each is an event of its own."""
MIN_LOG_BYTES = 64 * 1024
"""What a log may hold while all of them have reached their bound, so that its response goes on."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Bytes of all logs together, of one log, and of one while all of them have reached their bound."""

    total: int
    of_one: int
    in_any_case: int


DEFAULT_LIMITS = LogLimits(MAX_BYTES, MAX_LOG_BYTES, MIN_LOG_BYTES)


class LogMemory:
    """Estimated bytes that all logs hold."""

    def __init__(self, limits: LogLimits) -> None:
        self.limits = limits
        self.used = 0

    @property
    def is_full(self) -> bool:
        """Whether no further log may begin, and the others may hold no more than what they need to go on."""
        return self.used >= self.limits.total


class Cursor:
    """The position of one reader. `is_dropped`: the log does not keep events for it any more."""

    __slots__ = ("_node", "is_dropped")

    def __init__(self, node: _Node) -> None:
        self._node = node
        self.is_dropped = False


class EventLog:
    """Batches of events: until it is sealed all of them, for readers that join; then those that not all have read."""

    def __init__(self, memory: LogMemory) -> None:
        self._memory = memory
        self._first = self._last = _Node(0)
        self._cursors: set[Cursor] = set()
        self.is_sealed = False

    @property
    def size(self) -> int:
        """Estimated bytes of the events that the log holds."""
        return self._last.offset - self._first.offset

    @property
    def is_full(self) -> bool:
        """Whether the log holds as much as it may, and must not be read further."""
        limits = self._memory.limits
        return self.size >= (limits.in_any_case if self._memory.is_full else limits.of_one)

    def append(self, batch: list[Event]) -> None:
        """Add a batch, which nobody may change any more."""
        size = sum(map(_size_of, batch))
        node, self._last = self._last, _Node(self._last.offset + size)
        node.batch, node.next = batch, self._last
        self._memory.used += size

    def open_cursor(self) -> Cursor:
        """Return a new reader's position at the first event. The log must not be sealed."""
        assert not self.is_sealed
        cursor = Cursor(self._first)
        self._first.readers += 1
        self._cursors.add(cursor)
        return cursor

    def peek(self, cursor: Cursor) -> Sequence[Event]:
        """Return the next batch, empty if the reader has read all of them."""
        return () if cursor.is_dropped else cursor._node.batch or ()

    def read(self, cursor: Cursor) -> list[Event] | None:
        """Return a copy of the next batch, None if the reader has read all of them."""
        node = cursor._node
        if cursor.is_dropped or node.batch is None:
            return None
        assert node.next is not None
        cursor._node = node.next
        node.next.readers += 1
        self._leave(node)
        return list(node.batch)

    def drop(self, cursor: Cursor) -> None:
        """Keep nothing for a reader any more. Idempotent."""
        if not cursor.is_dropped:
            cursor.is_dropped = True
            self._cursors.discard(cursor)
            self._leave(cursor._node)

    def drop_laggards(self) -> None:
        """Drop the readers that have not read half of a log that is full, at least the slowest one."""
        middle = self._first.offset + self.size / 2
        for cursor in [cursor for cursor in self._cursors if cursor._node.offset < middle]:
            self.drop(cursor)

    def seal(self) -> None:
        """Accept no more readers, and forget what all have read."""
        self.is_sealed = True
        self._forget_read()

    def _leave(self, node: _Node) -> None:
        node.readers -= 1
        if self.is_sealed and node is self._first:
            self._forget_read()

    def _forget_read(self) -> None:
        node = first = self._first
        while not node.readers and node.next is not None:
            node = node.next
        self._first = node
        self._memory.used -= node.offset - first.offset


class _Node:
    """A batch, once it is there, and the node after it. `readers` are the cursors that read this batch next."""

    __slots__ = ("batch", "next", "offset", "readers")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.readers = 0
        self.batch: list[Event] | None = None
        self.next: _Node | None = None


def _size_of(event: Event) -> int:
    kind = type(event)
    if kind is TextDelta or kind is ReasoningDelta:
        return EVENT_BYTES + event.text.__sizeof__()  # type: ignore[union-attr]  # mypy does not narrow by type()
    if isinstance(event, PartCompleted):
        return EVENT_BYTES + _size_of_part(event.part)
    if isinstance(event, ToolCallDelta):
        return EVENT_BYTES + event.arguments_json.__sizeof__()
    if isinstance(event, ArtifactExtracted):
        artifact = event.artifact
        return EVENT_BYTES + (artifact.text or "").__sizeof__() + len(artifact.data or b"")
    return EVENT_BYTES + (event.structured_json.__sizeof__() if isinstance(event, Finished) else 0)


def _size_of_part(part: Part) -> int:
    match part:
        case Text() | Reasoning():
            content = part.text.__sizeof__()
        case ToolCall():
            content = part.arguments_json.__sizeof__()
        case Attachment():
            content = len(part.data or b"")
        case ToolResult():
            content = part.output.__sizeof__()
    return content + len(part.provider_state)
