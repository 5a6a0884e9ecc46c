"""Gives every RPC an id to be found by, in logs and by its caller."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import structlog

from ..context import REQUEST_ID_KEY, Interceptor, Proceed, Rpc

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def _random_id() -> str:
    # Unique is enough: the id opens nothing.
    return f"{random.getrandbits(128):032x}"


class Correlate(Interceptor):
    """Takes the caller's request id and W3C trace where they are well formed, else mints an id."""

    def __init__(self, mint: Callable[[], str] = _random_id) -> None:
        self._mint = mint

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Set `rpc.id` and `rpc.trace`; the id goes on every log line of this RPC and back to the caller."""
        rpc.id = _only(rpc.values(REQUEST_ID_KEY), REQUEST_ID) or self._mint()
        rpc.trace = _only(rpc.values("traceparent"), TRACEPARENT)
        rpc.context.set_trailing_metadata(((REQUEST_ID_KEY, rpc.id),))
        structlog.contextvars.bind_contextvars(request_id=rpc.id)
        return await proceed(rpc, request)


def _only(values: list[str], form: re.Pattern[str]) -> str:
    return values[0] if len(values) == 1 and form.fullmatch(values[0]) else ""
