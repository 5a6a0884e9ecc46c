"""Composition of layers: their order, and the frames and ends of observing layers."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from aimanager_server.core.errors import GatewayError, Overloaded, ProviderInternalError
from aimanager_server.core.handler import CallHandler, Layer, ObservingLayer, compose
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event
from aimanager_server.core.stream import Cancelled, Completed, Failed, Outcome, ResponseStream, StreamObserver
from tests.support.calls import make_call
from tests.support.event_loop import run_ready_tasks
from tests.support.upstream import FINISHED, RESPONSE_EVENTS, ScriptedUpstream

Log = list[tuple[str, object]]


class Wrapping:
    """A layer that wraps the next handler."""

    def __init__(self, name: str, log: Log) -> None:
        self._name = name
        self._log = log

    async def __call__(self, call: Call, proceed: CallHandler) -> ResponseStream:
        self._log.append((self._name, "called"))
        return await proceed(call)


class Watching:
    """A layer that observes, rejects, or ignores the call."""

    def __init__(
        self,
        name: str,
        log: Log,
        *,
        rejects_with: BaseException | None = None,
        ignores: bool = False,
        on_first_content: Callable[[ResponseStream], None] = lambda stream: None,
    ) -> None:
        self._name = name
        self._log = log
        self._rejects_with = rejects_with
        self._ignores = ignores
        self._on_first_content = on_first_content

    def observe(self, call: Call) -> StreamObserver | None:
        self._log.append((self._name, "observing"))
        if self._rejects_with is not None:
            raise self._rejects_with
        return None if self._ignores else _Watch(self._name, self._log, self._on_first_content)


class _Watch(StreamObserver):
    def __init__(self, name: str, log: Log, on_first_content: Callable[[ResponseStream], None]) -> None:
        self._name = name
        self._log = log
        self._on_first_content = on_first_content

    def on_first_content(self, stream: ResponseStream) -> None:
        self._log.append((self._name, "first content"))
        self._on_first_content(stream)

    def on_events(self, events: list[Event]) -> None:
        self._log.append((self._name, list(events)))

    def on_end(self, outcome: Outcome) -> None:
        self._log.append((self._name, outcome))


def composed(*layers: Layer[Call] | ObservingLayer[Call], upstream: CallHandler | None = None) -> CallHandler:
    return compose(layers, upstream or ScriptedUpstream())


def outcomes(log: Log) -> list[tuple[str, object]]:
    return [(name, entry) for name, entry in log if isinstance(entry, Completed | Failed | Cancelled)]


async def frames_to_upstream(*layers: Layer[Call] | ObservingLayer[Call]) -> int:
    """Return how many frames lie between the caller of the handler and the upstream."""
    depths: list[int] = []

    async def upstream(call: Call) -> ResponseStream:
        depths.append(len(inspect.stack(0)))
        return await ScriptedUpstream()(call)

    await upstream(make_call())
    await composed(*layers, upstream=upstream)(make_call())
    return depths[1] - depths[0]


async def test_layers_run_in_the_listed_order() -> None:
    log: Log = []

    await composed(Wrapping("a", log), Watching("b", log), Watching("c", log), Wrapping("d", log))(make_call())

    assert [entry for entry in log if entry[1] in {"called", "observing"}] == [
        ("a", "called"),
        ("b", "observing"),
        ("c", "observing"),
        ("d", "called"),
    ]


async def test_no_layers_leave_the_innermost_handler() -> None:
    upstream = ScriptedUpstream()

    assert compose((), upstream) is upstream


async def test_neighboring_observing_layers_are_one_frame() -> None:
    log: Log = []
    neighbors = [Watching(name, log) for name in "abcde"]

    assert await frames_to_upstream(*neighbors) == 1
    assert await frames_to_upstream(*neighbors[:2], Wrapping("w", log), *neighbors[2:]) == 3


async def test_observers_see_a_response_from_the_innermost_layer_outwards() -> None:
    log: Log = []

    stream = await composed(Watching("outer", log), Wrapping("w", log), Watching("b", log), Watching("c", log))(
        make_call()
    )
    await stream.result()

    names = ("c", "b", "outer")
    first_content = [(name, "first content") for name in names]
    events = [(name, [event]) for event in RESPONSE_EVENTS for name in names]
    ends = [(name, Completed(FINISHED)) for name in names]
    assert log[4:] == [*first_content, *events, *ends]


async def test_layer_without_an_observer_sees_nothing_more() -> None:
    log: Log = []

    await (await composed(Watching("a", log, ignores=True), Watching("b", log))(make_call())).result()

    assert {name for name, entry in log if entry != "observing"} == {"b"}


@pytest.mark.parametrize("error", [Overloaded("full"), RuntimeError("bug")])
async def test_rejection_by_a_later_layer_ends_the_earlier_observers(error: Exception) -> None:
    log: Log = []
    upstream = ScriptedUpstream()
    handle = composed(
        Watching("a", log),
        Watching("b", log),
        Watching("c", log, rejects_with=error),
        Watching("d", log),
        upstream=upstream,
    )

    with pytest.raises(type(error)):
        await handle(make_call())

    assert outcomes(log) == [("b", Failed(error)), ("a", Failed(error))]
    assert ("d", "observing") not in log
    assert upstream.requests == []


async def test_error_before_a_stream_ends_every_observer_once() -> None:
    log: Log = []
    error = ProviderInternalError("down")
    handle = composed(
        Watching("a", log), Wrapping("w", log), Watching("b", log), Watching("c", log),
        upstream=ScriptedUpstream(error),
    )  # fmt: skip

    with pytest.raises(ProviderInternalError):
        await handle(make_call())

    assert outcomes(log) == [("c", Failed(error)), ("b", Failed(error)), ("a", Failed(error))]
    assert not any(entry == "first content" for _, entry in log)


async def test_cancellation_before_a_stream_ends_the_observers_as_cancelled() -> None:
    log: Log = []

    async def silent(_: Call) -> ResponseStream:
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.ensure_future(composed(Watching("a", log), Watching("b", log), upstream=silent)(make_call()))
    await run_ready_tasks()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(log) == [("b", Cancelled()), ("a", Cancelled())]


async def test_outer_observer_sees_the_error_into_which_a_layer_turned_it() -> None:
    log: Log = []
    replaced = Overloaded("replaced")

    async def translate(call: Call, proceed: CallHandler) -> ResponseStream:
        try:
            return await proceed(call)
        except GatewayError as error:
            raise replaced from error

    inner = ProviderInternalError("down")
    handle = composed(Watching("outer", log), translate, Watching("inner", log), upstream=ScriptedUpstream(inner))

    with pytest.raises(Overloaded):
        await handle(make_call())

    assert outcomes(log) == [("inner", Failed(inner)), ("outer", Failed(replaced))]


async def test_observer_that_raises_at_the_first_content_closes_the_response() -> None:
    log: Log = []
    upstream = ScriptedUpstream()

    def broken(_: ResponseStream) -> None:
        raise RuntimeError("bug")

    handle = composed(
        Watching("a", log), Watching("b", log, on_first_content=broken), Watching("c", log), upstream=upstream
    )

    with pytest.raises(RuntimeError, match="bug"):
        await handle(make_call())

    assert [name for name, _ in outcomes(log)] == ["c", "b", "a"]
    assert upstream.closed == 1


async def test_observer_may_change_the_metadata_at_the_first_content() -> None:
    def measure(stream: ResponseStream) -> None:
        stream.metadata.time_to_first_token = 1.5

    stream = await composed(Watching("a", [], on_first_content=measure))(make_call())

    assert stream.metadata.time_to_first_token == 1.5


async def test_response_of_a_layer_that_replaces_it_is_observed_outside() -> None:
    log: Log = []

    async def replay(call: Call, proceed: CallHandler) -> ResponseStream:
        inner = await proceed(call)
        return ResponseStream.of(inner.metadata, [*(await _read(inner))])

    async def _read(stream: ResponseStream) -> list[Any]:
        return [event async for event in stream]

    stream = await composed(Watching("outer", log), replay, Watching("inner", log))(make_call())
    inner_ended = outcomes(log)
    await stream.result()

    assert inner_ended == [("inner", Completed(FINISHED))]
    assert outcomes(log) == [("inner", Completed(FINISHED)), ("outer", Completed(FINISHED))]
