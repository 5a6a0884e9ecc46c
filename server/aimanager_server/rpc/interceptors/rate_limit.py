"""Requests and reads per minute of each caller, enforced before any work."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from ...config.settings import Tier
from ...core.errors import Overloaded, RateLimited
from ...resilience.rate_limiter import RateLimiter
from ..context import Rpc
from ..interceptor_chain import CallerInterceptor, RpcHandler
from ..policies import Quota


class RateLimit(CallerInterceptor):
    """Take one request from the caller's quota for the method, and return it if the call is rejected further in.

    A caller without a tier, or with a tier without the quota, is not limited.
    """

    def __init__(self, limiter: RateLimiter, tiers: Mapping[str, Tier]) -> None:
        self._limiter = limiter
        self._limits: Mapping[Quota, Mapping[str, int | None]] = {
            Quota.GENERATION: {name: tier.requests_per_minute for name, tier in tiers.items()},
            Quota.READING: {name: tier.reads_per_minute for name, tier in tiers.items()},
        }

    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        """Raise RateLimited if the quota is used up."""
        limit = self._limits[rpc.policy.quota].get(rpc.caller.tier)
        return proceed(rpc) if limit is None else self._limit(limit, rpc, proceed)

    async def _limit(self, limit: int, rpc: Rpc, proceed: RpcHandler) -> Any:
        quota = rpc.policy.quota.value
        taken_at = self._limiter.take(rpc.caller.name, quota, limit)
        try:
            return await proceed(rpc)
        except (RateLimited, Overloaded):
            self._limiter.adjust(rpc.caller.name, quota, -1.0, taken_at)
            raise
