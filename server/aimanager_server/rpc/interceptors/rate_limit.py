"""Holds each caller to its tier's requests a minute, before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ...config.settings import Tier
from ...core.errors import Overloaded, RateLimited
from ..context import Guard, Proceed, Rpc

QUOTA = "requests_per_minute"


class Limiter(Protocol):
    """Counts what was used in the last minute."""

    def take(self, subject: str, quota: str, per_minute: int, amount: float = 1.0) -> float:
        """Use some of a quota, or raise RateLimited."""
        ...

    def settle(self, subject: str, quota: str, amount: float, taken_at: float) -> None:
        """Correct what was taken: negative gives back."""
        ...


class RateLimit(Guard):
    """Takes one request from the caller's quota; one that is refused further in is given back.

    Callers without a tier, and tiers without a quota, are not limited.
    """

    def __init__(self, limiter: Limiter, tiers: Mapping[str, Tier]) -> None:
        self._limiter = limiter
        self._quotas = {name: tier.requests_per_minute for name, tier in tiers.items()}

    async def around(self, rpc: Rpc, request: Any, proceed: Proceed) -> Any:
        """Raise RateLimited where the minute is used up."""
        quota = self._quotas.get(rpc.caller.tier)
        if quota is None:
            return await proceed(rpc, request)
        taken_at = self._limiter.take(rpc.caller.name, QUOTA, quota)
        try:
            return await proceed(rpc, request)
        except (RateLimited, Overloaded):
            self._limiter.settle(rpc.caller.name, QUOTA, -1.0, taken_at)
            raise
