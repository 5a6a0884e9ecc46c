"""Runs a whole server in a thread with its App in hand, so that its inside can be counted from outside."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from aimanager_server.app import App
from aimanager_server.config.settings import Settings
from aimanager_server.core.attempts import UsageLedger
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import Provider
from aimanager_server.core.request import Call
from aimanager_server.core.response import Event, Finished, ResponseStream
from aimanager_server.rpc.interceptors.admission import Admit
from tests.support.gateway import in_thread

Kind = TypeVar("Kind")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Sending:
    """One asking of a provider: for which call, and how it ended: "answered", a reason, or "cancelled".

    It `is_over` once nobody reads the answer any more: it came to its end, broke off, or was put down.
    """

    call: str
    provider: str
    ledger: UsageLedger
    ended: str = ""
    is_over: bool = False


class Watched:
    """A provider that is watched from outside: it notes each asking, and does nothing else."""

    def __init__(self, name: str, provider: Provider, sendings: list[Sending]) -> None:
        self._name = name
        self._provider = provider
        self._sendings = sendings

    async def __call__(self, call: Call) -> ResponseStream:
        sending = Sending(call.id, self._name, call.usage_ledger)
        self._sendings.append(sending)
        try:
            reply = await self._provider(call)
        except BaseException as error:
            sending.ended = error.reason if isinstance(error, GatewayError) else "cancelled"
            sending.is_over = True
            raise
        sending.ended = "answered"

        async def close() -> None:
            sending.is_over = True
            await reply.aclose()

        return ResponseStream(reply.metadata, _Read(aiter(reply), sending), close, reply.usage_so_far)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


class _Read:
    """The events of an answer, the last of which is noted."""

    def __init__(self, events: AsyncIterator[Event], sending: Sending) -> None:
        self._events = events
        self._sending = sending

    def __aiter__(self) -> _Read:
        return self

    async def __anext__(self) -> Event:
        try:
            event = await anext(self._events)
        except BaseException:
            self._sending.is_over = True
            raise
        self._sending.is_over = isinstance(event, Finished)
        return event


@dataclass
class House:
    """A server at `target`; `lines` are what it logged, `sendings` each asking of a provider."""

    app: App
    loop: asyncio.AbstractEventLoop
    target: str
    lines: list[dict[str, Any]]
    sendings: list[Sending] = field(default_factory=list)

    def there(self, look: Callable[[], Answer]) -> Answer:
        """What `look` says on the server's loop."""

        async def looked() -> Answer:
            return look()

        return asyncio.run_coroutine_threadsafe(looked(), self.loop).result(10.0)

    @property
    def admit(self) -> Admit:
        """The door."""
        return self.app.server._admit

    def tasks(self) -> Counter[str]:
        """The tasks of the server's loop, by what they do."""
        return self.there(lambda: Counter(_said(task) for task in asyncio.all_tasks() if _said(task) != "looked"))

    def timers(self) -> Counter[str]:
        """What waits for a time, by what it would do; the pools' own, which look after idle connections, left out."""
        waiting = self.there(lambda: [one for one in self.loop._scheduled if not one._cancelled])  # type: ignore[attr-defined]
        named = (getattr(one._callback, "__qualname__", repr(one._callback)) for one in waiting)
        return Counter(name for name in named if name != "_weakref_handle")

    def parts(self, kind: type[Kind]) -> list[Kind]:
        """Every part of that kind that is alive in this process."""
        return [one for one in gc.get_objects() if isinstance(one, kind)]


def _said(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", task)).rpartition(".")[2]


@contextmanager
def housed(settings: Settings) -> Iterator[House]:
    """A server that runs until the block ends; what it logs is kept."""
    lines: list[dict[str, Any]] = []
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, _Keep(lines)])
    with in_thread(lambda stack: _begun(settings, lines, stack)) as (house, _):
        yield house


async def _begun(settings: Settings, lines: list[dict[str, Any]], stack: AsyncExitStack) -> House:
    """As app.running does it."""
    app, sendings = App(settings), list[Sending]()
    for name, provider in tuple(app.providers.items()):
        stack.push_async_callback(provider.aclose)
        app.providers[name] = Watched(name, provider, sendings)
    app.lag.start()
    stack.callback(app.lag.stop)
    stack.push_async_callback(app.prober.aclose)
    await app.server.start()
    stack.push_async_callback(app.server.stop, 1.0)
    return House(app, asyncio.get_running_loop(), f"127.0.0.1:{app.server.port}", lines, sendings)


class _Keep:
    """Keeps log lines in place of writing them."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._lines = lines

    def __call__(self, _logger: Any, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        self._lines.append({"level": level, **event})
        raise structlog.DropEvent
