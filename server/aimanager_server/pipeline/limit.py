"""Holds a caller to what its tier may use of each provider, in requests and tokens a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping

from ..call import Ask, Call
from ..content import Message, Reasoning, Text, ToolCall, ToolResult
from ..fault import Fault
from ..handler import Handler
from ..reply import Event, Finished, Reply
from ..settings import ProviderTier, Tier
from ..state.limiter import Limiter

CHARACTERS_PER_TOKEN = 4
NO_QUOTA = ProviderTier()


class Limit:
    """Reserves an estimate of the prompt's tokens, then settles with the usage.

    Requests over all providers were counted at the door; here are tokens over all, and both at single providers.
    """

    def __init__(self, tiers: Mapping[str, Tier], limiter: Limiter) -> None:
        self._tiers = tiers
        self._limiter = limiter

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        """Raise RateLimited where a quota is used up, else proceed."""
        tier = self._tiers.get(call.caller.tier)
        if tier is None:
            return await proceed(call)
        reserve = _Reserve(self._limiter, call, tier)
        reserve.take()
        try:
            reply = await proceed(call)
        except BaseException:
            reserve.settle()
            raise

        async def watched(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            try:
                async for event in events:
                    if isinstance(event, Finished):
                        reserve.settle()
                    yield event
            except BaseException:
                reserve.settle()
                raise

        async def close() -> None:
            await reply.aclose()
            reserve.settle()

        return Reply(reply.head, watched(aiter(reply)), close, reply.spent)


class _Reserve:
    """Tokens taken before the answer, and settled with what all attempts took, once they have ended.

    What another provider took in the first one's place counts against the quota at that provider.
    """

    __slots__ = ("_call", "_limiter", "_open", "_quotas", "_subject", "_tier")

    def __init__(self, limiter: Limiter, call: Call, tier: Tier) -> None:
        provider = call.target.provider
        quota = tier.providers.get(provider, NO_QUOTA)
        self._limiter = limiter
        self._call = call
        self._tier = tier
        self._subject = call.caller.name
        self._open = True
        estimate = estimate_tokens(call)
        wanted = (
            ("tokens_per_minute", tier.tokens_per_minute, estimate),
            (f"{provider}.requests_per_minute", quota.requests_per_minute, 1),
            (f"{provider}.tokens_per_minute", quota.tokens_per_minute, estimate),
        )
        self._quotas = [(name, most, amount) for name, most, amount in wanted if most is not None]

    def take(self) -> None:
        taken: list[tuple[str, float]] = []
        for name, most, amount in self._quotas:
            try:
                self._limiter.take(self._subject, name, most, amount)
            except Fault:
                for before, back in taken:
                    self._limiter.settle(self._subject, before, -back)
                raise
            taken.append((name, min(amount, most)))

    def settle(self) -> None:
        if not self._open:
            return
        self._open = False
        used: Counter[str] = Counter()
        for one in self._call.ledger.entries:
            tokens = one.usage.input_tokens + one.usage.output_tokens
            used["tokens_per_minute"] += tokens
            if self._tier.providers.get(one.provider, NO_QUOTA).tokens_per_minute is not None:
                used[f"{one.provider}.tokens_per_minute"] += tokens
        for name, most, amount in self._quotas:
            if name.endswith("tokens_per_minute"):
                self._limiter.settle(self._subject, name, used.pop(name, 0) - min(amount, most))
        used.pop("tokens_per_minute", None)
        for name, tokens in used.items():
            self._limiter.settle(self._subject, name, tokens)


def estimate_tokens(call: Call | Ask) -> int:
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
