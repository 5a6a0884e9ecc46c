"""A key pool of one provider, and the retry loop that uses its keys."""

from __future__ import annotations

import pytest

from aimanager_server.core.errors import GatewayError
from aimanager_server.core.handler import AttemptHandler
from aimanager_server.core.request import Call
from aimanager_server.core.stream import ResponseStream
from aimanager_server.resilience.key_pool import KeyPool, KeySelection
from tests.support.calls import make_call
from tests.support.clock import FakeClock
from tests.support.layers import retry_layer, with_accounting
from tests.support.upstream import ScriptedUpstream


class Setup:
    """A pool of `keys` keys, "secret-1" and so on, and the retry loop over accounting, on a fake clock.

    Without `is_accounted`, upstreams stand for a layer that rejects an attempt before it is sent.
    """

    def __init__(self, keys: int = 2, selection: KeySelection = "weighted", *, is_accounted: bool = True) -> None:
        self.clock = FakeClock()
        self.key_pool = KeyPool([(f"secret-{number}", 1) for number in range(1, keys + 1)], self.clock, selection)
        self.retry = retry_layer(self.clock, random=0.0, key_pools={"mock": self.key_pool})
        self.is_accounted = is_accounted

    async def send(self, upstream: AttemptHandler, call: Call | None = None) -> ResponseStream:
        handler = with_accounting(upstream, self.clock) if self.is_accounted else upstream
        return await self.retry.over(handler)(call or make_call())

    async def fail(self, upstream: AttemptHandler, kind: type[GatewayError], call: Call | None = None) -> GatewayError:
        with pytest.raises(kind) as raised:
            await self.send(upstream, call)
        return raised.value


def key_ids(upstream: ScriptedUpstream) -> list[str]:
    """Return the ids of the keys used, in order."""
    return [sent.api_key.id for sent in upstream.requests]
