"""Let equal requests that are in flight at the same time share one call of a provider."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from ..core.handler import CallHandler
from ..core.request import Call
from ..core.stream import ResponseStream
from .event_log import DEFAULT_LIMITS, LogLimits, LogMemory
from .shared_call import SharedCall


class RequestCoalescer:
    """Share the response of a call with equal calls that arrive before it is complete.

    A task of its own reads the response into a log, which every caller reads at its own pace and until its own
    deadline, so that a slow or cancelled caller affects no other. The first caller pays; the response of the others is
    marked CacheStatus.COALESCED and costs nothing. A failure reaches all callers, none of which repeats the call. Once
    the last caller has left, the call is cancelled.

    Each log is bounded, and all of them together. What exceeds the bound of a log is not shared with further callers,
    and is read from the provider only as fast as the callers read it; one that lags behind while others wait is
    disconnected. While the memory of all logs is used up, further calls are not shared.
    """

    def __init__(self, count_joined: Callable[[], None], limits: LogLimits = DEFAULT_LIMITS) -> None:
        self._count_joined = count_joined
        self._memory = LogMemory(limits)
        self._joinable: dict[Hashable, SharedCall] = {}
        self._callers = 0

    @property
    def entries(self) -> int:
        """Number of callers that read a log."""
        return self._callers

    @property
    def size(self) -> int:
        """Estimated bytes of all logs."""
        return self._memory.used

    async def __call__(self, key: Hashable, call: Call, proceed: CallHandler) -> ResponseStream:
        """Return the response of an equal call in flight, or proceed. Raises GatewayError.

        The key must contain everything that determines the response, and its owner. Streams and unary calls are not
        shared with each other, since only unary calls are repeated unnoticed after an interruption; nor are calls that
        differ in how long they wait for a silent provider.
        """
        timeouts = frozenset((target.key, target.timeouts) for target in call.targets)
        whole_key = (key, call.streaming, call.restart_on_interruption, timeouts)
        shared = self._joinable.get(whole_key)
        if shared is not None and shared.covers(call):
            self._count_joined()
        elif self._memory.is_full:
            return await proceed(call)
        else:
            shared = SharedCall(call, self._memory, lambda closed: self._forget(whole_key, closed))
            self._joinable[whole_key] = shared
            shared.start(proceed)
        self._callers += 1
        return await shared.join(call, self._leave)

    def _forget(self, key: Hashable, closed: SharedCall) -> None:
        if self._joinable.get(key) is closed:
            del self._joinable[key]

    def _leave(self) -> None:
        self._callers -= 1
