"""List every recorded response with the wire that reads it, and compare how streams are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.response import Event, ReasoningDelta, ReasoningProgress, TextDelta, ToolCallDelta
from aimanager_server.providers.wires.wire import Wire
from tests.support.anthropic import anthropic_wire
from tests.support.chat_completions import VENDORS, chat_wire
from tests.support.gemini import gemini_wire
from tests.support.paths import FIXTURES
from tests.support.responses import responses_wire

WIRES: Mapping[str, Wire] = {
    **{name: chat_wire(name) for name in VENDORS},
    "anthropic": anthropic_wire(),
    "gemini": gemini_wire(),
    "responses": responses_wire(),
}
"""Each wire, by the folder of its recordings."""


def recorded(suffix: str) -> list[tuple[str, str]]:
    """Return the folder and the path below the fixtures of every recorded response with this suffix, in order."""
    paths = sorted(path.relative_to(FIXTURES) for path in FIXTURES.rglob(f"*{suffix}"))
    return [(path.parts[0], path.as_posix()) for path in paths if path.name != "request.json"]


STREAMS = recorded(".sse")
BODIES = recorded(".json")


def merged(events: list[Event]) -> list[str]:
    """Return the events with adjacent deltas of a part merged, without progress and with generated ids numbered."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, ReasoningProgress):
            continue
        if isinstance(event, TextDelta | ReasoningDelta) and type(last) is type(event) and last.index == event.index:
            found[-1] = type(event)(event.index, last.text + event.text)
        elif isinstance(event, ToolCallDelta) and isinstance(last, ToolCallDelta) and last.index == event.index:
            arguments = last.arguments_json + event.arguments_json
            found[-1] = ToolCallDelta(last.index, last.id or event.id, last.name or event.name, arguments)
        else:
            found.append(event)
    numbers: dict[str, str] = {}
    return [_with_numbered_ids(event, numbers) for event in found]


def _with_numbered_ids(event: Event, numbers: dict[str, str]) -> str:
    call_id = event.id if isinstance(event, ToolCallDelta) else getattr(getattr(event, "part", None), "id", "")
    if call_id.startswith("call_") and len(call_id) == len("call_") + 24:
        return repr(event).replace(call_id, numbers.setdefault(call_id, f"generated-{len(numbers)}"))
    return repr(event)


def outcome(wire: str, pieces: Iterable[bytes]) -> list[str] | tuple[type[GatewayError], str]:
    """Return the merged events of a stream, or the error it ends with."""
    reader = WIRES[wire].stream_reader()
    try:
        return merged([event for piece in pieces for event in reader.feed(piece)] + reader.end())
    except GatewayError as error:
        return type(error), error.message
