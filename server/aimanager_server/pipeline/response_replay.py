"""Return a stored response as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core.content import Part, Reasoning, Text, ToolCall
from ..core.response import (
    ArtifactExtracted,
    Event,
    GenerateResult,
    PartCompleted,
    ReasoningDelta,
    ResponseMetadata,
    TextDelta,
    ToolCallDelta,
)
from ..core.stream import ResponseStream
from ..core.usage import Usage

DELTA_CHARACTERS = 512
"""Characters of one delta of a replayed stream."""


def complete_events(result: GenerateResult) -> list[Event]:
    """Return the events of a complete response, part by part, without deltas."""
    return [
        *(PartCompleted(index, part) for index, part in enumerate(result.message.parts)),
        *map(ArtifactExtracted, result.artifacts),
        result.finished,
    ]


def replayed_stream(metadata: ResponseMetadata, result: GenerateResult) -> ResponseStream:
    """Return a stream of a stored response with deltas, at the pace of its reader."""
    return ResponseStream(metadata, _Replay(result))


class _Replay:
    """Makes the events when they are read, so that a reader that is slow or leaves costs nothing more."""

    __slots__ = ("_batches", "_finished")

    buffered: Sequence[Event] = ()

    def __init__(self, result: GenerateResult) -> None:
        self._batches = _batches(result)
        self._finished = result.finished

    async def read(self) -> list[Event]:
        return next(self._batches, [])

    async def aclose(self) -> None:
        self._batches = iter(())

    def usage_so_far(self) -> Usage | None:
        return self._finished.usage


def _batches(result: GenerateResult) -> Iterator[list[Event]]:
    for index, part in enumerate(result.message.parts):
        for delta in _deltas(index, part):
            yield [delta]
        yield [PartCompleted(index, part)]
    yield [*map(ArtifactExtracted, result.artifacts), result.finished]


def _deltas(index: int, part: Part) -> Iterator[Event]:
    match part:
        case Text():
            for text in _pieces(part.text):
                yield TextDelta(index, text)
        case Reasoning():
            for text in _pieces(part.text):
                yield ReasoningDelta(index, text)
        case ToolCall():
            yield ToolCallDelta(index, part.id, part.name, "")
            for text in _pieces(part.arguments_json):
                yield ToolCallDelta(index, "", "", text)
        case _:
            return


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + DELTA_CHARACTERS
        if "\ud800" <= text[end - 1 : end] <= "\udbff":
            end += 1  # the second half of a surrogate pair
        yield text[start:end]
        start = end
