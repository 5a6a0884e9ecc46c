"""Plug-ins that misbehave as told, and the providers around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from aimanager_server.catalog.model import Capability, Level
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.content import Text
from aimanager_server.core.handler import Clock, Handler
from aimanager_server.core.request import Call
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    ResponseStream,
    TextDelta,
)
from aimanager_server.core.usage import Usage
from aimanager_server.core.usage import UsageSource as Source
from aimanager_server.providers.plugins.adapter import PluggedProvider
from aimanager_server.providers.plugins.api import Transport
from aimanager_server.providers.plugins.isolation import Seclusion

PULSE = 0.05
FINISHED = Finished(FinishReason.STOP, "stop", Usage(3, 2, source=Source.REPORTED))
HELLO: tuple[Event, ...] = (TextDelta(0, "Hel"), TextDelta(0, "lo"), PartCompleted(0, Text("Hello")), FINISHED)

Step = Event | Callable[[], Awaitable[None]]


class Told:
    """A plug-in that does these steps: it says events and awaits the rest."""

    name: Any = "told"
    api_version: Any = 1

    def __init__(self, *steps: Any, listed: Sequence[str] = ("one", "two")) -> None:
        self.steps = steps or HELLO
        self.listed = listed
        self.opened = 0
        self.closed = 0
        self.calls: list[Call] = []

    def open(self, settings: ProviderSettings, transport: Transport, clock: Clock) -> Handler:
        self.opened += 1
        return self.answer

    async def answer(self, call: Call) -> ResponseStream:
        self.calls.append(call)
        return ResponseStream(
            ResponseMetadata(call.id, call.requested_model, "liar", "liar"), self._events(), self._close
        )

    async def models(self) -> Sequence[str]:
        return self.listed

    def capabilities(self, model: str) -> Mapping[Capability, Level]:
        return {Capability.STREAMING: Level.NATIVE}

    async def _events(self) -> AsyncIterator[Event]:
        for step in self.steps:
            if callable(step):
                await step()
            else:
                yield step

    async def _close(self) -> None:
        self.closed += 1


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def step() -> None:
        raise error

    return step


async def forever() -> None:
    await asyncio.Event().wait()


async def stubbornly() -> None:
    """Wait for ever, whatever is cancelled."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def blocking() -> None:
    """Hold the event loop for far longer than any pulse."""
    time.sleep(1.0)  # noqa: ASYNC251  # that is the misdeed


class Pipe(httpx.AsyncBaseTransport):
    """A transport that notes its end."""

    def __init__(self) -> None:
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


@asynccontextmanager
async def plugged(plugin: Any, pulse: float = PULSE, pipe: Pipe | None = None) -> AsyncIterator[PluggedProvider]:
    """The provider around a plug-in, its thread ended afterwards."""
    settings = ProviderSettings(wire="plugin")
    transport = pipe or Pipe()
    provider = PluggedProvider(plugin, settings, lambda: transport, time.monotonic, Seclusion("told", pulse), 0.2)
    try:
        yield provider
    finally:
        await provider.aclose()
