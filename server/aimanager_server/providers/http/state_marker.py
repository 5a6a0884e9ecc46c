"""Mark the state in a response with the API key that obtained it."""

from __future__ import annotations

from dataclasses import replace

from ...core.provider_state import marked
from ...core.response import Event, PartCompleted
from ...core.stream import StreamObserver


class StateMarker(StreamObserver):
    """Mark the state of every completed part with the fingerprint of a key, which the next turn then prefers."""

    __slots__ = ("_fingerprint",)

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    def on_events(self, events: list[Event]) -> None:
        """Replace the completed parts that have state."""
        for index, event in enumerate(events):
            if type(event) is PartCompleted and event.part.provider_state:
                state = marked(event.part.provider_state, self._fingerprint)
                events[index] = PartCompleted(event.index, replace(event.part, provider_state=state))
