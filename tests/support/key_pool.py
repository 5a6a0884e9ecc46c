"""Rings of keys, and the layer that turns them around a scripted provider."""

from __future__ import annotations

from typing import Any

import pytest

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import Handler
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from aimanager_server.pipeline.key_rotation import Rotate
from aimanager_server.resilience.key_pool import KeyRing
from aimanager_server.resilience.retry_budget import Budgets
from tests.support.calls import FakeClock, Upstream, call


class World:
    """A ring of so many keys, and the layer that turns it."""

    def __init__(self, keys: int = 2, spread: Any = "weighted") -> None:
        self.clock = FakeClock()
        self.budgets = Budgets(0.1, 10.0, self.clock)
        self.ring = KeyRing([(f"secret-{number}", 1) for number in range(1, keys + 1)], self.clock, spread)
        self.rotate = Rotate({"mock": self.ring}, self.budgets, self.clock, refused_seconds=60.0)

    async def answer(self, upstream: Handler, question: Call | None = None) -> ResponseStream:
        return await self.rotate(question or call(), upstream)

    async def fail(self, upstream: Handler, kind: type[GatewayError], question: Call | None = None) -> GatewayError:
        with pytest.raises(kind) as caught:
            await self.rotate(question or call(), upstream)
        return caught.value


def used(upstream: Upstream) -> list[str]:
    return [asked.api_key.id for asked in upstream.calls]
