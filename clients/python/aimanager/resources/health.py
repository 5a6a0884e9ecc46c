"""Health and quality of the providers of a gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence

from .._convert.monitoring import DEFAULT_WINDOW, assess_providers, check_health, list_health, watch_health
from .._transport.channel import AsyncChannel, SyncChannel
from ..types.health import ProviderHealth
from ..types.quality import ProviderQuality


class Health:
    """Health and quality of the providers.

    >>> [provider.status for provider in ai.health.list(["mock"], probe=True)]
    ['HEALTHY']
    """

    def __init__(self, channel: SyncChannel) -> None:
        self._channel = channel

    def list(self, providers: Sequence[str] = (), *, probe: bool = False) -> list[ProviderHealth]:
        """List the health of `providers`, or of all, by name. `probe` fetches each provider's model list first.

        >>> [provider.provider for provider in ai.health.list(["mock"])]
        ['mock']
        """
        return self._channel.call(list_health(providers, probe=probe))

    def check(self, provider: str) -> ProviderHealth:
        """Check one provider: fetch its model list, which is free of charge, and return its health.

        Raises InvalidProviderError for an unknown provider.

        >>> ai.health.check("mock").status
        'HEALTHY'
        """
        return self._channel.call(check_health(provider))

    def assess(self, providers: Sequence[str] = (), *, window: float = DEFAULT_WINDOW) -> Sequence[ProviderQuality]:
        """Assess `providers`, or all, over the last `window` seconds, at most an hour.

        Returns the best provider first; providers without samples come last, by name.

        >>> [quality.provider for quality in ai.health.assess(["mock"])]
        ['mock']
        """
        return self._channel.call(assess_providers(providers, window))

    def watch(self, providers: Sequence[str] = ()) -> Generator[ProviderHealth]:
        """Yield the current health of `providers`, or of all, then each change, indefinitely.

        Leaving the loop cancels the call.

        >>> for provider in ai.health.watch(["mock"]):
        ...     print(provider.provider)
        ...     break
        mock
        """
        return self._channel.watch(watch_health(providers))


class AsyncHealth:
    """Health and quality of the providers, for asyncio. Health describes the methods."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    async def list(self, providers: Sequence[str] = (), *, probe: bool = False) -> list[ProviderHealth]:
        """List the health of `providers`, or of all, by name. `probe` fetches each provider's model list first."""
        return await self._channel.call(list_health(providers, probe=probe))

    async def check(self, provider: str) -> ProviderHealth:
        """Check one provider: fetch its model list, which is free of charge, and return its health."""
        return await self._channel.call(check_health(provider))

    async def assess(
        self, providers: Sequence[str] = (), *, window: float = DEFAULT_WINDOW
    ) -> Sequence[ProviderQuality]:
        """Assess `providers`, or all, over the last `window` seconds, at most an hour, like Health.assess."""
        return await self._channel.call(assess_providers(providers, window))

    def watch(self, providers: Sequence[str] = ()) -> AsyncGenerator[ProviderHealth]:
        """Yield the current health of `providers`, or of all, then each change, indefinitely.

        Close the generator (`aclosing`) when leaving the loop early.
        """
        return self._channel.watch(watch_health(providers))
