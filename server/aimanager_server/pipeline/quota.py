"""Holds a caller to what its tier may use of each provider, in requests and tokens a minute."""

from __future__ import annotations

from collections.abc import Mapping

from ..config.settings import Tier
from ..core.attempts import UsageLedger
from ..core.content import Message, Reasoning, Text, ToolCall, ToolResult
from ..core.errors import GatewayError
from ..core.handler import Handler
from ..core.request import Call, GenerateParams
from ..core.response import ResponseStream
from ..resilience.rate_limiter import Limiter

CHARACTERS_PER_TOKEN = 4


class Limit:
    """Reserves an estimate of the prompt's tokens, then settles with what all attempts took.

    Requests over all providers were counted at the door; here are tokens over all, and both at single providers: those
    are taken once a provider is asked (`at_provider`), since another may be asked in the place of the first.
    """

    def __init__(self, tiers: Mapping[str, Tier], limiter: Limiter) -> None:
        self._tiers = tiers
        self._limiter = limiter
        self._reserves: dict[UsageLedger, _Reserve] = {}

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Raise RateLimited where the quota of tokens is used up, else proceed."""
        tier = self._tiers.get(call.caller.tier)
        if tier is None:
            return await proceed(call)
        reserve = _Reserve(self._limiter, call, tier)
        reserve.take("tokens_per_minute", tier.tokens_per_minute, reserve.estimate)
        self._reserves[call.usage_ledger.root] = reserve

        def settle() -> None:
            if self._reserves.pop(call.usage_ledger.root, None) is not None:
                reserve.settle()

        try:
            reply = await proceed(call)
        except BaseException:
            settle()
            raise
        return reply.on_end(settle)

    async def at_provider(self, call: Call, proceed: Handler) -> ResponseStream:
        """The layer around one target: raise RateLimited where the quota at its provider is used up, else proceed."""
        reserve = self._reserves.get(call.usage_ledger.root)
        if reserve is not None:
            reserve.take_at(call.target.provider)
        return await proceed(call)


class _Reserve:
    """What one call took of its caller's quotas, until it is settled with what its attempts took."""

    __slots__ = ("_asked", "_call", "_limiter", "_taken", "_tier", "estimate")

    def __init__(self, limiter: Limiter, call: Call, tier: Tier) -> None:
        self._limiter = limiter
        self._call = call
        self._tier = tier
        self._asked: set[str] = set()
        self._taken: dict[str, tuple[float, float]] = {}
        self.estimate = estimate_tokens(call)

    def take_at(self, provider: str) -> None:
        """Take from the quotas at a provider, once however often it is asked."""
        quota = self._tier.providers.get(provider)
        if quota is None or provider in self._asked:
            return
        requests = f"{provider}.requests_per_minute"
        self.take(requests, quota.requests_per_minute, 1)
        try:
            self.take(f"{provider}.tokens_per_minute", quota.tokens_per_minute, self.estimate)
        except GatewayError:
            if requests in self._taken:
                taken, when = self._taken.pop(requests)
                self._limiter.settle(self._call.caller.name, requests, -taken, when)
            raise
        self._asked.add(provider)

    def take(self, quota: str, most: int | None, amount: int) -> None:
        """Take so much of a quota that has a limit. Raises RateLimited."""
        if most is not None:
            when = self._limiter.take(self._call.caller.name, quota, most, amount)
            self._taken[quota] = min(amount, most), when

    def settle(self) -> None:
        """Put what was used in the place of what was estimated."""
        for quota, (taken, when) in self._taken.items():
            provider = quota.rpartition(".")[0]
            if quota.endswith("tokens_per_minute"):
                self._limiter.settle(self._call.caller.name, quota, self._used(provider) - taken, when)

    def _used(self, provider: str) -> int:
        """Tokens of all attempts at a provider, or at all of them."""
        usages = [one.usage for one in self._call.usage_ledger.entries if provider in ("", one.provider)]
        return sum(usage.input_tokens + usage.output_tokens for usage in usages)


def estimate_tokens(call: Call | GenerateParams) -> int:
    """A rough count of the prompt's tokens: four characters each, files not counted."""
    length = len(call.system_instruction) + sum(len(tool.input_schema_json) for tool in call.tools)
    return (length + sum(map(_length, call.messages))) // CHARACTERS_PER_TOKEN + 1


def _length(message: Message) -> int:
    total = 0
    for part in message.parts:
        match part:
            case Text() | Reasoning():
                total += len(part.text)
            case ToolCall():
                total += len(part.arguments_json)
            case ToolResult():
                total += len(part.output)
            case _:
                pass
    return total
