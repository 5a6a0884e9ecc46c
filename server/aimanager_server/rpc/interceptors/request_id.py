"""Request ids: every RPC has one, for logs and for the caller."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from ..context import REQUEST_ID_KEY, Rpc
from ..interceptor_chain import Interceptor, RpcHandler

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def _random_id() -> str:
    # Not a secret, so it only has to be unique.
    return f"{random.getrandbits(128):032x}"


class RequestId(Interceptor):
    """Use the caller's request id and W3C traceparent if they are well formed; otherwise generate a request id."""

    def __init__(self, new_id: Callable[[], str] = _random_id) -> None:
        self._new_id = new_id

    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        """Set `rpc.id` and `rpc.traceparent`; add the id to the trailers and to every log line of this RPC."""
        rpc.id = _single_value(rpc.metadata_values(REQUEST_ID_KEY), REQUEST_ID) or self._new_id()
        rpc.traceparent = _single_value(rpc.metadata_values("traceparent"), TRACEPARENT)
        rpc.context.set_trailing_metadata(((REQUEST_ID_KEY, rpc.id),))
        structlog.contextvars.bind_contextvars(request_id=rpc.id)
        return proceed(rpc)


def _single_value(values: list[str], pattern: re.Pattern[str]) -> str:
    return values[0] if len(values) == 1 and pattern.fullmatch(values[0]) else ""
