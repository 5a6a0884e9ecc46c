"""What the attempt engine adds to one healthy call, measured inside one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median

from aimanager_server.app import App
from aimanager_server.config.loader import load
from aimanager_server.core.content import Message, Role, Text
from aimanager_server.core.handler import Handler, compose
from aimanager_server.core.request import Call, Caller, Target
from aimanager_server.core.response import (
    Event,
    Finished,
    FinishReason,
    PartCompleted,
    ResponseMetadata,
    ResponseStream,
)
from aimanager_server.core.usage import Usage, UsageSource

CALLS = 2_000
TARGET = Target("local", "unary")
ANSWER: tuple[Event, ...] = (
    PartCompleted(0, Text("Hello.")),
    Finished(FinishReason.STOP, "stop", Usage(3, 2, source=UsageSource.REPORTED)),
)


@dataclass(frozen=True, slots=True)
class Added:
    """Microseconds of CPU a call: without the engine and with it."""

    without: float
    with_engine: float

    @property
    def engine(self) -> float:
        """What the engine adds."""
        return self.with_engine - self.without


async def engine(rounds: int) -> Added:
    """Alternating rounds; medians. The first warms up and does not count."""
    settings = load({"providers": {"local": PROVIDER}}, None, {}).settings
    app = App(settings)
    bare, whole = compose((), instant), compose(app.engine, instant)
    taken: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        taken.append((await spent(bare), await spent(whole)))
    without, with_engine = (median(side) for side in zip(*taken[1:], strict=True))
    return Added(without, with_engine)


PROVIDER = {"wire": "chat_completions", "base_url": "http://127.0.0.1:9/v1", "models": ["unary"]}


async def spent(handler: Handler) -> float:
    """Microseconds of CPU a call."""
    deadline = asyncio.get_running_loop().time() + 600.0
    message = Message(Role.USER, (Text("Hi"),))
    began = time.process_time()
    for number in range(CALLS):
        call = Call(str(number), Caller(), "local/unary", (message,), (TARGET,), deadline)
        await (await handler(call)).result()
    return (time.process_time() - began) / CALLS * 1e6


async def instant(call: Call) -> ResponseStream:
    """A provider that costs nothing."""
    return ResponseStream(
        ResponseMetadata(call.id, call.requested_model, call.target.provider, call.target.model), events(), closed
    )


async def events() -> AsyncIterator[Event]:
    """A plain answer."""
    for event in ANSWER:
        yield event


async def closed() -> None:
    """Nothing is held."""
