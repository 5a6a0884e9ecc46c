"""Plug-ins with scripted behavior, providers that run them, and calls to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aimanager_server.catalog.model import Capability, SupportLevel
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.handler import AttemptHandler, Clock
from aimanager_server.core.request import NO_KEY, ApiKey, Attempt, Call, Caller, Target
from aimanager_server.core.response import Event, Finished, FinishReason, PartCompleted, ResponseMetadata, TextDelta
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.plugins.adapter import PluginProvider
from aimanager_server.providers.plugins.api import Transport
from aimanager_server.providers.plugins.isolation import plugin_loop

RESPONSE_TIMEOUT = 0.5
LIST_TIMEOUT = 0.5
"""Long enough for the thread of a plug-in to run on a busy machine."""

SHUTDOWN_TIMEOUT = 0.05
FINISHED = Finished(FinishReason.STOP, "stop", Usage(3, 2, source=UsageSource.REPORTED))
HELLO: tuple[Event, ...] = (TextDelta(0, "Hel"), TextDelta(0, "lo"), PartCompleted(0, Text("Hello")), FINISHED)

Step = Event | Callable[[], Awaitable[None]]


class ScriptedPlugin:
    """A plug-in whose stream yields the events among `steps` and awaits the other steps."""

    name: Any = "scripted"
    api_version: Any = 1

    def __init__(self, *steps: Any, model_ids: Sequence[str] = ("one", "two")) -> None:
        self.steps = steps or HELLO
        self.model_ids = model_ids
        self.opened = 0
        self.closed = 0
        self.attempts: list[Attempt[Any]] = []

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> AttemptHandler:
        self.opened += 1
        return self.generate

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        self.attempts.append(attempt)
        metadata = ResponseMetadata(attempt.id, attempt.requested_model, "wrong", "wrong")
        return ResponseStream.from_iterator(metadata, self._events(), self._close)

    async def models(self) -> Sequence[str]:
        return self.model_ids

    def capabilities(self, model: str) -> Mapping[Capability, SupportLevel]:
        return {Capability.STREAMING: SupportLevel.NATIVE}

    async def _events(self) -> AsyncIterator[Event]:
        for step in self.steps:
            if callable(step):
                await step()
            else:
                yield step

    async def _close(self) -> None:
        self.closed += 1


class BatchPlugin(ScriptedPlugin):
    """A plug-in whose stream reads all events at once."""

    async def generate(self, attempt: Attempt[Any]) -> ResponseStream:
        self.attempts.append(attempt)
        metadata = ResponseMetadata(attempt.id, attempt.requested_model, "wrong", "wrong")
        return ResponseStream.of(metadata, list(self.steps))


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def step() -> None:
        raise error

    return step


async def wait_forever() -> None:
    await asyncio.Event().wait()


async def wait_ignoring_cancellation() -> None:
    """Wait until the event loop is closed, whatever is cancelled."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def block_event_loop() -> None:
    """Block the event loop for much longer than RESPONSE_TIMEOUT."""
    time.sleep(4 * RESPONSE_TIMEOUT)  # noqa: ASYNC251  # the fault under test


class RecordingTransport(httpx.AsyncBaseTransport):
    """A transport that records whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


@asynccontextmanager
async def plugin_provider(
    plugin: Any, response_timeout: float = RESPONSE_TIMEOUT, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[PluginProvider]:
    """Yield a provider that runs the plug-in, and stop its thread afterwards."""
    settings = ProviderSettings(wire="plugin")
    transport = transport or RecordingTransport()
    provider = PluginProvider(
        plugin,
        settings,
        lambda: transport,
        time.monotonic,
        plugin_loop("scripted", response_timeout, SHUTDOWN_TIMEOUT),
        LIST_TIMEOUT,
    )
    try:
        yield provider
    finally:
        await provider.aclose()


def plugin_attempt(*, seconds: float = 20.0, api_key: ApiKey = NO_KEY, **fields: Any) -> Attempt[Any]:
    """Return an attempt at a call of the plug-in whose deadline is in `seconds`. `fields` are those of the call."""
    fields.setdefault("caller", Caller("ann"))
    call = Call(
        id="call-1",
        requested_model="scripted/latest",
        messages=(Message(Role.USER, (Text("Hi"),)),),
        targets=(Target("scripted", "one"),),
        deadline=asyncio.get_running_loop().time() + seconds,
        **fields,
    )
    return Attempt.of(call, call.target, time.monotonic(), is_streamed=call.streaming, api_key=api_key)
