"""Enforce the quotas of a caller's tier: tokens per minute, and requests and tokens per minute at single providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.settings import Tier
from ..core.attempts import AttemptLog
from ..core.errors import GatewayError
from ..core.request import Attempt, Call
from ..core.stream import OnEnd, StreamObserver
from ..core.token_estimate import estimate_tokens
from ..resilience.rate_limiter import RateLimiter


class CallerQuota:
    """Reserve an estimate of the prompt's tokens, then adjust it to the usage of all attempts when the call ends.

    The rate limit interceptor enforces requests per minute.
    """

    def __init__(self, tiers: Mapping[str, Tier], limiter: RateLimiter) -> None:
        self._tiers = tiers
        self._limiter = limiter
        self._reservations: dict[AttemptLog, Reservation] = {}

    def observe(self, call: Call) -> StreamObserver | None:
        """Reserve tokens until the call ends. Raises RateLimited."""
        tier = self._tiers.get(call.caller.tier)
        if tier is None:
            return None
        reservation = Reservation(self._limiter, call, tier)
        reservation.take("tokens_per_minute", tier.tokens_per_minute, reservation.estimated_tokens)
        self._reservations[call.attempts] = reservation
        return OnEnd(lambda: self._reservations.pop(call.attempts).settle())

    def reservation_of(self, call: Call) -> Reservation | None:
        """Return the reservation of a call in flight; None if its tier has no quotas."""
        return self._reservations.get(call.attempts.root)


class ProviderQuota:
    """Reserve requests and tokens at the target's provider, when the call first reaches that provider."""

    def __init__(self, caller_quota: CallerQuota) -> None:
        self._caller_quota = caller_quota

    def observe(self, attempt: Attempt[Any]) -> StreamObserver | None:
        """Reserve the provider's quotas. Raises RateLimited."""
        reservation = self._caller_quota.reservation_of(attempt.call)
        if reservation is not None:
            reservation.take_at_provider(attempt.target.provider)
        return None


class Reservation:
    """The quotas taken by one call, until they are adjusted to its actual usage."""

    __slots__ = ("_call", "_limiter", "_taken", "_tier", "estimated_tokens")

    def __init__(self, limiter: RateLimiter, call: Call, tier: Tier) -> None:
        self._limiter = limiter
        self._call = call
        self._tier = tier
        self._taken: dict[str, tuple[float, float]] = {}
        self.estimated_tokens = estimate_tokens(call)

    def take_at_provider(self, provider: str) -> None:
        """Take one request and the estimated tokens, only once per provider. Raises RateLimited and takes neither."""
        quota = self._tier.providers.get(provider)
        if quota is None:
            return
        requests, tokens = f"{provider}.requests_per_minute", f"{provider}.tokens_per_minute"
        if requests in self._taken or tokens in self._taken:
            return
        self.take(requests, quota.requests_per_minute, 1)
        try:
            self.take(tokens, quota.tokens_per_minute, self.estimated_tokens)
        except GatewayError:
            if requests in self._taken:
                taken, taken_at = self._taken.pop(requests)
                self._limiter.adjust(self._call.caller.name, requests, -taken, taken_at)
            raise

    def take(self, quota: str, per_minute: int | None, amount: int) -> None:
        """Take an amount of a quota; None is unlimited. Raises RateLimited."""
        if per_minute is not None:
            taken_at = self._limiter.take(self._call.caller.name, quota, per_minute, amount)
            self._taken[quota] = min(amount, per_minute), taken_at

    def settle(self) -> None:
        """Replace the estimated tokens by the tokens used."""
        for quota, (taken, taken_at) in self._taken.items():
            provider = quota.rpartition(".")[0]
            if quota.endswith("tokens_per_minute"):
                self._limiter.adjust(self._call.caller.name, quota, self._tokens_used(provider) - taken, taken_at)

    def _tokens_used(self, provider: str) -> int:
        """Return the tokens of all attempts at a provider; an empty name means all providers."""
        records = self._call.attempts.records
        usages = [record.usage for record in records if record.usage and provider in ("", record.provider)]
        return sum(usage.input_tokens + usage.output_tokens for usage in usages)


def seconds_until_admitted(limiter: RateLimiter, tier: Tier, subject: str, provider: str) -> float:
    """Return in how many seconds every quota of a tier admits one more request to a provider; 0 if all do now."""
    at_provider = tier.providers.get(provider)
    quotas = {"requests_per_minute": tier.requests_per_minute, "tokens_per_minute": tier.tokens_per_minute}
    if at_provider is not None:
        quotas[f"{provider}.requests_per_minute"] = at_provider.requests_per_minute
        quotas[f"{provider}.tokens_per_minute"] = at_provider.tokens_per_minute
    waits = (limiter.seconds_until_admitted(subject, quota, limit) for quota, limit in quotas.items() if limit)
    return max(waits, default=0.0)
