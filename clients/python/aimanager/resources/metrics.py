"""Metrics of the requests that a gateway served."""

from __future__ import annotations

from .._convert.monitoring import DEFAULT_WINDOW, metrics_summary
from .._transport.channel import AsyncChannel, SyncChannel
from ..types.metrics import MetricsSummary


class Metrics:
    """Metrics of the requests that a gateway served.

    >>> ai.metrics.get_summary().requests_in_flight
    0
    """

    def __init__(self, channel: SyncChannel) -> None:
        self._channel = channel

    def get_summary(
        self, provider: str | None = None, *, model: str | None = None, window: float = DEFAULT_WINDOW
    ) -> MetricsSummary:
        """Summarize the last `window` seconds, at most a day: in total, of one provider, or of one model by its id.

        Raises AIError.

        >>> ai.metrics.get_summary("mock", window=600).uptime > 0
        True
        """
        return self._channel.call(metrics_summary(provider, model, window))


class AsyncMetrics:
    """Metrics of the requests that a gateway served, for asyncio."""

    def __init__(self, channel: AsyncChannel) -> None:
        self._channel = channel

    async def get_summary(
        self, provider: str | None = None, *, model: str | None = None, window: float = DEFAULT_WINDOW
    ) -> MetricsSummary:
        """Summarize the last `window` seconds, at most a day, like Metrics.get_summary."""
        return await self._channel.call(metrics_summary(provider, model, window))
