"""Rate limits of a server in this process."""

from __future__ import annotations

import asyncio

from .._transport.channel import AsyncChannel, SyncChannel
from .._transport.endpoint import Endpoint
from ..errors import ConfigurationError
from ..types.rate_limit import RateLimitResult

DEFAULT_TIER = "free"


class Limits:
    """Rate limits of a server in this process: the tiers of its configuration. Without tiers nothing is limited.

    >>> from aimanager import AIManager
    >>> with AIManager("any key", provider="mock") as ai:
    ...     ai.limits.check("mock").allowed
    True
    """

    def __init__(self, channel: SyncChannel) -> None:
        self._channel = channel

    def check(self, provider: str, tier: str = DEFAULT_TIER) -> RateLimitResult:
        """Return whether this program may send a request to the provider now, by the quotas of a tier.

        Nothing is taken from the quotas: requests do that themselves. Raises InvalidProviderError, and
        ConfigurationError for a tier that is not configured, and with a gateway, which decides for itself.

        >>> from aimanager import AIManager
        >>> with AIManager("any key", provider="mock") as ai:
        ...     ai.limits.check("mock")
        RateLimitResult(allowed=True, retry_after=None, message='')
        """
        return _check(_endpoint(self._channel), provider, tier)


class AsyncLimits:
    """Rate limits of a server in this process, for asyncio. Limits describes the method."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    async def check(self, provider: str, tier: str = DEFAULT_TIER) -> RateLimitResult:
        """Return whether this program may send a request to the provider now, by the quotas of a tier."""
        return await asyncio.to_thread(_check, _endpoint(self._channel), provider, tier)


def _endpoint(channel: SyncChannel | AsyncChannel) -> Endpoint:
    """Return the endpoint of a channel. Raises ConfigurationError after `close`."""
    _ = channel.stubs
    return channel.endpoint


def _check(endpoint: Endpoint, provider: str, tier: str) -> RateLimitResult:
    if endpoint.server is None:
        raise ConfigurationError(
            "limits.check applies to a server in this process; a gateway decides for itself",
            solution="Send the request: it fails with RateLimitError, whose retry_after says when to retry.",
        )
    return endpoint.server.check_rate_limit(provider, tier)
