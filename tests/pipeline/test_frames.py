"""The length of the path between the servicer and the provider, counted in a complete gateway.

Each frame costs CPU time for every call, and each stream that an event passes costs CPU time for every event.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from aimanager.v1.generation_pb2 import InterruptionPolicy, StreamGenerateRequest
from aimanager_server.app import App
from aimanager_server.core.content import Text
from aimanager_server.core.request import Attempt
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, ResponseMetadata, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage
from tests.support.gateway import settings_with
from tests.support.rpc import REQUEST, event_kinds, events_of, running, text_of
from tests.support.upstream import USAGE

MAX_FRAMES = 20
"""Frames between the registered RPC method and the provider: all interceptors, the servicer and all layers."""

RPC_METHOD = "InterceptorChain._wrap.<locals>.serve"
EVENT_LOOP_OF_A_STREAM = "_write_stream"
MAX_FRAMES_OF_A_STREAM = 3
"""Frames between the reader of a stream and its source."""

BATCHES: tuple[tuple[Event, ...], ...] = (
    (TextDelta(0, "Hel"),),
    (TextDelta(0, "lo"),),
    (PartCompleted(0, Text("Hello")), Finished(FinishReason.STOP, "stop", USAGE)),
)


def frames_between(outer: str, inner: str) -> list[str]:
    """Return the qualified names of the frames between two functions on the stack, outermost first."""
    frame: FrameType | None = sys._getframe()
    names: list[str] = []
    while frame is not None and frame.f_code.co_qualname != outer:
        names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    assert frame is not None, f"{outer} is not on the stack: {names}"
    return names[names.index(inner) + 1 :][::-1]


class MeasuringProvider:
    """Records the frames on the stack when it is called, and each time its events are read."""

    def __init__(self) -> None:
        self.call_path: list[str] = []
        self.stacks_of_reads: list[list[str]] = []

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        self.call_path = frames_between(RPC_METHOD, "MeasuringProvider.__call__")
        metadata = ResponseMetadata(attempt.id, attempt.requested_model, *attempt.target.key)
        return ResponseStream(metadata, MeasuringSource(self))

    async def probe(self) -> None: ...

    async def aclose(self) -> None: ...


class MeasuringSource:
    """Returns one batch per read; the first one is buffered."""

    def __init__(self, provider: MeasuringProvider) -> None:
        self._provider = provider
        self._batches = list(BATCHES)

    @property
    def buffered(self) -> Sequence[Event]:
        return self._batches[0] if len(self._batches) == len(BATCHES) else ()

    async def read(self) -> list[Event]:
        self._provider.stacks_of_reads.append(frames_between(RPC_METHOD, "MeasuringSource.read"))
        return list(self._batches.pop(0))

    async def aclose(self) -> None: ...

    def usage_so_far(self) -> Usage | None:
        return None


async def frames_of_events(on_interruption: InterruptionPolicy.ValueType) -> list[list[str]]:
    """Return the frames between the loop that writes a stream and its source, for each batch read in that loop."""
    app, provider = App(settings_with()), MeasuringProvider()
    app.providers["mock"] = provider
    request = StreamGenerateRequest(request=REQUEST, on_interruption=on_interruption)

    async with running(app.server) as server:
        events = await events_of(server.generation.StreamGenerate(request))

    assert event_kinds(events) == ["started", "delta", "delta", "part_completed", "completed"]
    assert len(provider.stacks_of_reads) == len(BATCHES)
    stacks = [stack for stack in provider.stacks_of_reads if EVENT_LOOP_OF_A_STREAM in stack]
    return [stack[stack.index(EVENT_LOOP_OF_A_STREAM) + 1 :] for stack in stacks]


def streams_in(frames: Sequence[str]) -> int:
    """Return how many streams are among the frames."""
    return frames.count("ResponseStream.read")


async def test_unary_call_passes_few_frames_on_its_way_to_the_provider() -> None:
    app, provider = App(settings_with()), MeasuringProvider()
    app.providers["mock"] = provider

    async with running(app.server) as server:
        response = await server.generation.Generate(REQUEST)

    assert text_of(response) == "Hello"
    assert "GenerationService.Generate" in provider.call_path
    assert len(provider.call_path) <= MAX_FRAMES, "\n".join(provider.call_path)


async def test_event_of_a_stream_passes_one_stream() -> None:
    reads = await frames_of_events(InterruptionPolicy.INTERRUPTION_POLICY_FAIL)

    assert [streams_in(frames) for frames in reads] == [1] * len(BATCHES)
    assert max(map(len, reads)) <= MAX_FRAMES_OF_A_STREAM, reads


async def test_event_of_a_stream_that_may_restart_passes_one_more_stream() -> None:
    reads = await frames_of_events(InterruptionPolicy.INTERRUPTION_POLICY_RESTART)

    # The first batch is read before the stream begins, to restart unseen if it does not arrive.
    assert [streams_in(frames) for frames in reads] == [2] * (len(BATCHES) - 1)
    assert max(map(len, reads)) <= 2 * MAX_FRAMES_OF_A_STREAM + len(["_Recovery.read"]), reads
