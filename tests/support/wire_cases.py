"""Build messages and streams for a wire, and read its recorded responses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aimanager_server.core.content import Message, Part, Role, Text
from aimanager_server.core.response import Event, Finished, PartCompleted
from aimanager_server.providers.wires.wire import Wire
from tests.support.paths import FIXTURES


def text_parts(parts: tuple[Part | str, ...]) -> tuple[Part, ...]:
    """Return the parts, with plain strings as text parts."""
    return tuple(Text(part) if isinstance(part, str) else part for part in parts)


def user(*parts: Part | str) -> Message:
    return Message(Role.USER, text_parts(parts))


def completed_parts(events: list[Event]) -> tuple[Part, ...]:
    """Return the completed parts in order."""
    return tuple(event.part for event in events if isinstance(event, PartCompleted))


def finished_event(events: list[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def sse(*payloads: dict[str, Any] | list[Any] | str) -> bytes:
    """Return a stream of these payloads, without event names."""
    texts = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


@dataclass(frozen=True, slots=True)
class WireCases:
    """The recorded exchanges of one wire: a folder per case with response.json, stream.sse or request.json."""

    folder: str
    wire: Wire

    def names(self, file: str) -> list[str]:
        """Return the cases that have this file."""
        return sorted(path.parent.name for path in (FIXTURES / self.folder).glob(f"*/{file}"))

    def body(self, name: str) -> bytes:
        return (FIXTURES / self.folder / name / "response.json").read_bytes()

    def stream(self, name: str) -> bytes:
        return (FIXTURES / self.folder / name / "stream.sse").read_bytes()

    def request(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((FIXTURES / self.folder / name / "request.json").read_bytes())
        return body

    def read(self, *pieces: bytes) -> list[Event]:
        """Read a stream that arrives in these pieces, to its end."""
        reader = self.wire.stream_reader()
        return [event for piece in pieces for event in reader.feed(piece)] + reader.end()
