"""Requests per minute of each caller, enforced before any work."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from ...config.settings import Tier
from ...core.errors import Overloaded, RateLimited
from ...resilience.rate_limiter import RateLimiter
from ..context import Rpc
from ..interceptor_chain import CallerInterceptor, RpcHandler

QUOTA = "requests_per_minute"


class RateLimit(CallerInterceptor):
    """Take one request from the caller's quota, and return it if the call is rejected further in.

    A caller without a tier, or with a tier that has no request quota, is not limited.
    """

    def __init__(self, limiter: RateLimiter, tiers: Mapping[str, Tier]) -> None:
        self._limiter = limiter
        self._quotas = {name: tier.requests_per_minute for name, tier in tiers.items()}

    def intercept(self, rpc: Rpc, request: Any, proceed: RpcHandler) -> Awaitable[Any]:
        """Raise RateLimited if the quota is used up."""
        quota = self._quotas.get(rpc.caller.tier)
        return proceed(rpc, request) if quota is None else self._limit(quota, rpc, request, proceed)

    async def _limit(self, quota: int, rpc: Rpc, request: Any, proceed: RpcHandler) -> Any:
        taken_at = self._limiter.take(rpc.caller.name, QUOTA, quota)
        try:
            return await proceed(rpc, request)
        except (RateLimited, Overloaded):
            self._limiter.adjust(rpc.caller.name, QUOTA, -1.0, taken_at)
            raise
