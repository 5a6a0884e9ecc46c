"""Answers CountTokens: the question is read and decided as one that is asked, and then only counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aimanager.v1 import model_pb2

from ...core.handler import Clock
from ...core.request import Call
from ...core.usage import UsageSource
from ..context import Rpc
from ..convert import requests as wire_read
from ..convert.responses import USAGE_SOURCES
from ..deadlines import allowance
from .generation import Resolve


class Counted(Protocol):
    """Tokens of the whole input, and who counted."""

    @property
    def provider(self) -> str:
        """Whose tokens."""
        ...

    @property
    def model(self) -> str:
        """Which model's."""
        ...

    @property
    def input_tokens(self) -> int:
        """How many."""
        ...

    @property
    def source(self) -> UsageSource:
        """Who counted."""
        ...


class Counting:
    """CountTokens over one counter. `longest` is in seconds, `clock` the one that deadlines are on."""

    def __init__(
        self,
        count: Callable[[Call], Awaitable[Counted]],
        resolve: Resolve,
        limits: wire_read.Limits,
        longest: float,
        clock: Clock,
    ) -> None:
        self._count = count
        self._resolve = resolve
        self._limits = limits
        self._longest = longest
        self._clock = clock

    async def __call__(self, request: model_pb2.CountTokensRequest, rpc: Rpc) -> model_pb2.CountTokensResponse:
        """The count. Raises what asking the question would, as far as the gateway can tell."""
        async with allowance(rpc, self._longest, self._clock) as deadline:
            ask = wire_read.ask(request.request, self._limits)
            call = self._resolve(ask, rpc.caller, id=rpc.id, deadline=deadline, streaming=False, trace=rpc.trace)
            counted = await self._count(call)
        return model_pb2.CountTokensResponse(
            input_tokens=min(counted.input_tokens, 2**31 - 1),
            source=USAGE_SOURCES[counted.source],
            model=f"{counted.provider}/{counted.model}",
        )
