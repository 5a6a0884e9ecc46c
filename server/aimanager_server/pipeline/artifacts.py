"""Extract artifacts (files, documents, data) from a response as it passes through."""

from __future__ import annotations

from collections.abc import Iterable

from ..artifacts.extractor import ArtifactExtractor
from ..core.content import Artifact
from ..core.request import Call
from ..core.response import ArtifactExtracted, Event, PartCompleted, Restarted, TextDelta
from ..core.stream import StreamObserver


class ExtractArtifacts:
    """Insert an ArtifactExtracted event after the event that completes an artifact; pass all other events unchanged."""

    def observe(self, call: Call) -> StreamObserver | None:
        """Watch one response, if the caller asked for its artifacts."""
        return _ArtifactObserver() if call.extract_artifacts else None


class _ArtifactObserver(StreamObserver):
    __slots__ = ("_extractor",)

    def __init__(self) -> None:
        self._extractor = ArtifactExtractor()

    def on_events(self, events: list[Event]) -> None:
        position = 0
        while position < len(events):
            artifacts = [ArtifactExtracted(artifact) for artifact in self._extract(events[position])]
            position += 1
            if artifacts:
                events[position:position] = artifacts
                position += len(artifacts)

    def _extract(self, event: Event) -> Iterable[Artifact]:
        if isinstance(event, TextDelta):
            return self._extractor.add_text(event.index, event.text)
        if isinstance(event, PartCompleted):
            return self._extractor.complete_part(event.index, event.part)
        if type(event) is Restarted:
            self._extractor = ArtifactExtractor()
        return ()
