"""Lifts deliverables out of an answer on its way: files, documents and data that the caller may want to keep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

from ..artifacts.fences import Block, FenceReader
from ..artifacts.file_types import kind_of
from ..artifacts.filenames import LONGEST_NAME, named
from ..artifacts.tool_files import files_in
from ..core.content import Artifact, Part, Text, ToolCall
from ..core.handler import Handler
from ..core.request import Call
from ..core.response import ArtifactExtracted, Event, PartCompleted, ResponseStream, Restarted, TextDelta

MOST_ARTIFACTS = 200
"""Artifacts of one answer; further ones stay in the text alone."""

LONGEST_ARTIFACT = 1024 * 1024
"""Characters of one artifact; a longer one stays in the text alone."""

MOST_CHARACTERS = 8 * LONGEST_ARTIFACT
"""Characters of all artifacts of one answer, since they travel beside the text they came from."""


class Keep:
    """Adds an ArtifactFound event as soon as an artifact is whole; all else passes as it is.

    A fenced block with a language or a name is an artifact, as is a file that a tool call writes.
    """

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Answer, and say what can be kept of it."""
        return (await proceed(call)).map_events(_found)


async def _found(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    finder = Finder()
    async for event in events:
        yield event
        if type(event) is Restarted:
            finder = Finder()
        if isinstance(event, TextDelta):
            for artifact in finder.text(event.index, event.text):
                yield ArtifactExtracted(artifact)
        elif isinstance(event, PartCompleted):
            for artifact in finder.part(event.index, event.part):
                yield ArtifactExtracted(artifact)


class Finder:
    """Finds the artifacts of one answer. The same answer has the same artifacts, however its text was cut."""

    def __init__(self) -> None:
        self._readers: dict[int, FenceReader] = {}
        self._count = 0
        self._room = MOST_CHARACTERS

    def text(self, index: int, text: str) -> Iterable[Artifact]:
        """Those that more text of a part completes."""
        reader = self._readers.get(index)
        if reader is None:
            reader = self._readers[index] = FenceReader(LONGEST_ARTIFACT)
        blocks = reader.feed(text)
        return self._of_blocks(blocks) if blocks else ()

    def part(self, index: int, part: Part) -> Iterator[Artifact]:
        """Those that the end of a part completes; all of them, where nothing of its text came before."""
        if isinstance(part, Text):
            if index not in self._readers:
                yield from self.text(index, part.text)
            reader = self._readers.pop(index, None)
            if reader is not None:
                yield from self._of_blocks(reader.end())
        elif isinstance(part, ToolCall):
            for name, text in files_in(part, LONGEST_ARTIFACT):
                yield from self._artifact("", name[:LONGEST_NAME], text)

    def _of_blocks(self, blocks: Iterable[Block]) -> Iterator[Artifact]:
        for block in blocks:
            language, name = named(block)
            if language or name:
                yield from self._artifact(language, name, block.text)

    def _artifact(self, language: str, name: str, text: str) -> Iterator[Artifact]:
        if not text.strip() or self._count >= MOST_ARTIFACTS or len(text) > self._room:
            return
        self._count += 1
        self._room -= len(text)
        kind = kind_of(language, name, text)
        own_name = name or f"artifact-{self._count}{kind.ending}"
        yield Artifact(f"artifact-{self._count}", own_name, kind.mime_type, kind.language, text=text)
