"""A complete gateway in a thread, with its App exposed so that its internal state can be inspected."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from aimanager_server.app import App
from aimanager_server.config.settings import Settings
from aimanager_server.core.attempts import AttemptLog
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import Provider
from aimanager_server.core.request import Attempt
from aimanager_server.core.stream import OnEnd, ResponseStream
from aimanager_server.rpc.interceptors.admission import Admission
from tests.support.gateway import run_in_thread

Kind = TypeVar("Kind")
Result = TypeVar("Result")


@dataclass(slots=True)
class ProviderCall:
    """One call of a provider. `outcome` is "responded", an error reason or "cancelled".

    `is_released` is set once the response is no longer read: it completed, failed or was closed.
    """

    request_id: str
    provider: str
    attempts: AttemptLog
    outcome: str = ""
    is_released: bool = False

    def release(self) -> None:
        """Record that the response is no longer read."""
        self.is_released = True


class ObservedProvider:
    """Records each call of a provider and delegates everything to it."""

    def __init__(self, name: str, provider: Provider, calls: list[ProviderCall]) -> None:
        self._name = name
        self._provider = provider
        self._calls = calls

    async def __call__(self, attempt: Attempt[Any]) -> ResponseStream:
        record = ProviderCall(attempt.id, self._name, attempt.call.attempts.root)
        self._calls.append(record)
        try:
            stream = await self._provider(attempt)
        except BaseException as error:
            record.outcome = error.reason if isinstance(error, GatewayError) else "cancelled"
            record.release()
            raise
        record.outcome = "responded"
        return stream.observed_by(OnEnd(record.release))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


@dataclass
class ObservedGateway:
    """A gateway that serves `target`, with its log entries and every call of a provider."""

    app: App
    loop: asyncio.AbstractEventLoop
    target: str
    log: list[dict[str, Any]]
    provider_calls: list[ProviderCall] = field(default_factory=list)

    def on_loop(self, read: Callable[[], Result]) -> Result:
        """Return the result of `read`, called on the gateway's event loop."""

        async def read_on_loop() -> Result:
            return read()

        return asyncio.run_coroutine_threadsafe(read_on_loop(), self.loop).result(10.0)

    @property
    def admission(self) -> Admission:
        """The admission interceptor."""
        return self.app.server.admission

    def tasks(self) -> Counter[str]:
        """Count the tasks of the gateway's event loop by coroutine name."""
        names = self.on_loop(lambda: [_coroutine_name(task) for task in asyncio.all_tasks()])
        return Counter(name for name in names if name != "read_on_loop")

    def timers(self) -> Counter[str]:
        """Count the pending timers by callback, except those of connection pools, which outlive calls."""
        pending = self.on_loop(lambda: [one for one in self.loop._scheduled if not one._cancelled])  # type: ignore[attr-defined]
        names = (getattr(one._callback, "__qualname__", repr(one._callback)) for one in pending)
        return Counter(name for name in names if not name.startswith("ConnectionPool."))

    def instances(self, kind: type[Kind]) -> list[Kind]:
        """Return every live instance of a type in this process."""
        return [one for one in gc.get_objects() if isinstance(one, kind)]


def _coroutine_name(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", task)).rpartition(".")[2]


@contextmanager
def observed_gateway(settings: Settings) -> Iterator[ObservedGateway]:
    """Run a gateway until the block ends and collect its log entries."""
    log: list[dict[str, Any]] = []
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, _LogCollector(log)])
    with run_in_thread(lambda stack: _start(settings, log, stack)) as (gateway, _):
        yield gateway


async def _start(settings: Settings, log: list[dict[str, Any]], stack: AsyncExitStack) -> ObservedGateway:
    """Start as `lifecycle.running_server` does, with observed providers."""
    app, calls = App(settings), list[ProviderCall]()
    for name, provider in tuple(app.providers.items()):
        stack.push_async_callback(provider.aclose)
        observed: Any = ObservedProvider(name, provider, calls)
        app.providers[name] = observed
    app.state.lag_monitor.start()
    stack.callback(app.state.lag_monitor.stop)
    stack.push_async_callback(app.state.prober.aclose)
    await app.server.start()
    stack.push_async_callback(app.server.stop, 1.0)
    return ObservedGateway(app, asyncio.get_running_loop(), f"127.0.0.1:{app.server.port}", log, calls)


class _LogCollector:
    """Collects log entries instead of writing them."""

    def __init__(self, log: list[dict[str, Any]]) -> None:
        self._log = log

    def __call__(self, _logger: Any, level: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        self._log.append({"level": level, **event})
        raise structlog.DropEvent
