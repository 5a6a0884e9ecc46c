"""Check how readers read streams whose structure was mutated: complete content, no surprise, linear effort."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from random import Random
from types import FrameType
from typing import TypeVar

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.response import Event
from tests.fuzz.stream_mutations import MutatedStream, missing_content, mutated, recorded_stream
from tests.support.paths import FIXTURES
from tests.support.recordings import STREAMS, WIRES

STEPS_PER_EVENT = 200
STEPS_PER_PIECE = 20
STEP_ALLOWANCE = 400
Result = TypeVar("Result")


class StructureDefect(Exception):
    """A reader lost content, called a truncated stream complete, or made too many steps."""


@cache
def sources() -> tuple[tuple[str, str, bytes], ...]:
    """Return the recordings whose content is known: the folder, the wire and the bytes of each."""
    found = []
    for folder, name in STREAMS:
        wire = "gemini" if folder == "gemini" else "chat_completions"
        if folder in ("anthropic", "responses"):
            continue
        data = (FIXTURES / name).read_bytes()
        try:
            stream = recorded_stream(wire, data)
            if not missing_content(stream, _read(folder, [data])):
                found.append((folder, wire, data))
        except (ValueError, GatewayError):
            continue  # an error, or content in a form that the mutations do not know
    return tuple(found)


def check_structure(random: Random, *, counts_steps: bool) -> None:
    """Read one mutated stream. Raises StructureDefect, or whatever else a reader should not raise."""
    folder, wire, data = random.choice(sources())
    stream = mutated(recorded_stream(wire, data), random)
    pieces, steps, problem = stream.pieces(random), 0, ""
    try:
        if counts_steps:
            events, steps = count_steps(lambda: _read(folder, pieces))
        else:
            events = _read(folder, pieces)
        problem = missing_content(stream, events) or _excessive(steps, stream, pieces)
    except GatewayError as error:
        if stream.events and stream.is_benign and stream.is_complete:
            problem = f"rejected: {error}"
    if problem:
        raise StructureDefect(f"{wire}: {stream.mutations}: {problem}: {b''.join(pieces)[:3000]!r}")


def count_steps(work: Callable[[], Result]) -> tuple[Result, int]:
    """Return the result of the work, and how many functions it called."""
    steps = 0

    def count_step(frame: FrameType, event: str, argument: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(count_step)
    try:
        result = work()
    finally:
        sys.setprofile(None)
    return result, steps


def _excessive(steps: int, stream: MutatedStream, pieces: list[bytes]) -> str:
    limit = STEPS_PER_EVENT * len(stream.events) + STEPS_PER_PIECE * len(pieces) + STEP_ALLOWANCE
    return f"{steps} steps for {len(stream.events)} events in {len(pieces)} pieces" if steps > limit else ""


def _read(folder: str, pieces: list[bytes]) -> list[Event]:
    reader = WIRES[folder].stream_reader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.end()
