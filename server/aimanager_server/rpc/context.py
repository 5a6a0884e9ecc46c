"""One RPC on its way: what is known of it so far, and the shape of what stands around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ..core.request import Caller
from ..core.usage import Usage

REQUEST_ID_KEY = "x-request-id"
STANDARD_HEALTH = "grpc.health.v1.Health"


class Rpc:
    """One call of one method. The interceptors fill it in, from the outermost inwards; handlers read it.

    `method` is the full name without the leading slash. `is_cut`: the server ends the call. `secrets` are what the
    caller sent in confidence: nothing that is logged or answered may hold them. `spent` tells what it took so far.
    """

    __slots__ = ("_opened", "caller", "context", "id", "is_cut", "metadata", "method", "secrets", "spent", "trace")

    def __init__(self, method: str, context: Any) -> None:
        self.method = method
        self.context = context
        self.metadata: tuple[tuple[str, str | bytes], ...] = context.invocation_metadata()
        self.id = ""
        self.trace = ""
        self.caller = Caller()
        self.secrets: tuple[str, ...] = ()
        self.spent: Callable[[], Usage | None] = _nothing
        self.is_cut = False
        self._opened = False

    @property
    def is_open(self) -> bool:
        """Something was sent to the caller."""
        return self._opened

    def values(self, key: str) -> list[str]:
        """Every text value sent under a metadata key, in order."""
        return [value for name, value in self.metadata if name == key and isinstance(value, str)]

    async def open(self) -> None:
        """Send the response headers, once.

        Only when a message is about to follow: a client resends a call by itself until the headers arrive. Unary
        answers do without, which saves 70 µs: their id is in the trailers.
        """
        if not self._opened:
            self._opened = True
            await self.context.send_initial_metadata(((REQUEST_ID_KEY, self.id),))

    async def write(self, message: Any) -> None:
        """Send one message of a stream; returns once the transport took it. One at a time."""
        if not self._opened:
            await self.open()
        await self.context.write(message)


def _nothing() -> None: ...


CURRENT: ContextVar[Rpc] = ContextVar("rpc")
"""The RPC this task serves."""


Proceed = Callable[[Rpc, Any], Awaitable[Any]]
"""What stands further in: the next interceptor, or the method itself."""


class Interceptor(ABC):
    """Stands around RPCs, unary and streaming alike."""

    def covers(self, service: str) -> bool:
        """Whether RPCs of the service pass here. Asked once a method, not once a call."""
        return True

    @abstractmethod
    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Answer the request, usually by way of `proceed(rpc, request)`; a stream has been written when it returns."""


class Guard(Interceptor):
    """An interceptor that may turn a caller away: probes of the gateway itself always pass."""

    def covers(self, service: str) -> bool:
        """Everything but the standard health service."""
        return service != STANDARD_HEALTH
