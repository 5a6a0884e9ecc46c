"""Hands the call to its provider and puts a price on the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from ..call import Call
from ..handler import Provider
from ..reply import Event, Finished, Reply
from ..usage import Cost, Usage

Price = Callable[[str, str, Usage], Cost | None]
"""What the usage of a provider's model costs; None where no price is known."""


class Dispatch:
    """The innermost handler."""

    def __init__(self, providers: Mapping[str, Provider], price: Price) -> None:
        self._providers = providers
        self._price = price

    async def __call__(self, call: Call) -> Reply:
        """Ask the target's provider."""
        target = call.target
        reply = await self._providers[target.provider](call)

        async def priced(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            async for event in events:
                if isinstance(event, Finished) and event.cost is None:
                    cost = self._price(target.provider, target.model, event.usage)
                    event = replace(event, cost=cost)
                yield event

        return reply.through(priced)
