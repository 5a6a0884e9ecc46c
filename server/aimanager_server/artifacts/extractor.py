"""Extract the artifacts of one response from its text and tool calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..core.content import Artifact, Part, Text, ToolCall
from .fences import FencedBlock, FenceReader
from .file_types import detect_file_type
from .filenames import MAX_FILENAME_LENGTH, language_and_filename
from .tool_files import files_in_tool_call

MAX_ARTIFACTS = 200
"""Artifacts per response; further ones are not extracted."""

MAX_ARTIFACT_CHARACTERS = 1024 * 1024
"""Characters per artifact; a longer one is not extracted."""

MAX_TOTAL_CHARACTERS = 8 * MAX_ARTIFACT_CHARACTERS
"""Characters of all artifacts of one response, which are sent in addition to the text that contains them."""


class ArtifactExtractor:
    """Extract artifacts from one response, given as text deltas or whole parts.

    An artifact is a fenced block with a language or a file name, or a file written by a tool call. The result does not
    depend on how the text is split into deltas.
    """

    def __init__(self) -> None:
        self._readers: dict[int, FenceReader] = {}
        self._count = 0
        self._characters_left = MAX_TOTAL_CHARACTERS

    def add_text(self, index: int, text: str) -> Iterable[Artifact]:
        """Return the artifacts that this text completes in the part at `index`."""
        reader = self._readers.get(index)
        if reader is None:
            reader = self._readers[index] = FenceReader(MAX_ARTIFACT_CHARACTERS)
        blocks = reader.feed(text)
        return self._from_blocks(blocks) if blocks else ()

    def complete_part(self, index: int, part: Part) -> Iterator[Artifact]:
        """Yield the artifacts that the end of a part completes, or all of its artifacts if it had no text deltas."""
        if isinstance(part, Text):
            if index not in self._readers:
                yield from self.add_text(index, part.text)
            reader = self._readers.pop(index, None)
            if reader is not None:
                yield from self._from_blocks(reader.finish())
        elif isinstance(part, ToolCall):
            for name, text in files_in_tool_call(part, MAX_ARTIFACT_CHARACTERS):
                yield from self._artifact("", name[:MAX_FILENAME_LENGTH], text)

    def _from_blocks(self, blocks: Iterable[FencedBlock]) -> Iterator[Artifact]:
        for block in blocks:
            language, name = language_and_filename(block)
            if language or name:
                yield from self._artifact(language, name, block.text)

    def _artifact(self, language: str, name: str, text: str) -> Iterator[Artifact]:
        if not text.strip() or self._count >= MAX_ARTIFACTS or len(text) > self._characters_left:
            return
        self._count += 1
        self._characters_left -= len(text)
        artifact_id = f"artifact-{self._count}"
        file_type = detect_file_type(language, name, text)
        filename = name or f"{artifact_id}{file_type.extension}"
        yield Artifact(artifact_id, filename, file_type.mime_type, file_type.language, text=text)
