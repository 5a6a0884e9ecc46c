"""Books every attempt: how it ended, the tokens it took and what they cost, whatever became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from ..core.attempts import CANCELLED, AttemptUsage
from ..core.errors import DeadlineExceeded, FirstTokenTimeout, GatewayError
from ..core.handler import Handler
from ..core.request import Call
from ..core.response import Event, Finished, ReasoningDelta, ResponseStream, TextDelta, ToolCallDelta
from ..core.usage import Cost, Usage, UsageSource
from ..telemetry.metrics import Metrics
from ..telemetry.usage_stats import Sums
from .quota import CHARACTERS_PER_TOKEN, estimate_tokens

Price = Callable[[str, str, Usage], Cost | None]
"""What the usage of a provider's model costs; None where no price is known."""


class Account:
    """The layer that prices answers and enters every attempt in the call's ledger, once.

    What a provider did not tell is estimated and marked so: the prompt was sent, and what was written so far was
    produced. A fault leaves with both.
    """

    def __init__(self, metrics: Metrics, sums: Sums, price: Price) -> None:
        self._metrics = metrics
        self._sums = sums
        self._price = price

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Proceed, and book what it took."""
        entry = _Entry(call, self._metrics, self._sums, self._price)
        call.usage_ledger.requests_sent[call.target.key] += 1
        try:
            reply = await proceed(call)
        except GatewayError as fault:
            entry.refused(fault)
            raise
        except BaseException:
            entry.called_off(None)
            raise

        async def close() -> None:
            entry.called_off(reply.usage_so_far())
            await reply.aclose()

        return ResponseStream(reply.metadata, _booked(reply, entry), close, reply.usage_so_far)


async def _booked(reply: ResponseStream, entry: _Entry) -> AsyncIterator[Event]:
    try:
        async for event in reply:
            if isinstance(event, TextDelta | ReasoningDelta):
                entry.characters += len(event.text)
            elif isinstance(event, ToolCallDelta):
                entry.characters += len(event.arguments_json)
            elif isinstance(event, Finished):
                event = entry.finished(event)
            yield event
    except GatewayError as fault:
        entry.broke_off(fault)
        raise
    except BaseException:
        entry.called_off(reply.usage_so_far())
        raise


class _Entry:
    """One attempt's entry; the first end that is told is the one that counts. `characters` were written so far."""

    __slots__ = ("_call", "_metrics", "_open", "_price", "_sums", "characters")

    def __init__(self, call: Call, metrics: Metrics, sums: Sums, price: Price) -> None:
        self._call = call
        self._metrics = metrics
        self._sums = sums
        self._price = price
        self._open = True
        self.characters = 0

    def finished(self, event: Finished) -> Finished:
        """The event with its price."""
        if event.usage.source is UsageSource.MISSING:
            event = replace(event, usage=self._so_far(event.usage))
        if event.cost is None:
            event = replace(event, cost=self._worth(event.usage))
        self._close("", event.usage, event.cost)
        return event

    def refused(self, fault: GatewayError) -> None:
        """It failed before its first content. One that was silent had the prompt all the same."""
        if isinstance(fault, FirstTokenTimeout | DeadlineExceeded):
            fault.usage = self._so_far(fault.usage)
        fault.cost = self._worth(fault.usage)
        self._close(fault.reason, fault.usage, fault.cost)

    def broke_off(self, fault: GatewayError) -> None:
        """It failed after its first content."""
        fault.usage = self._so_far(fault.usage)
        fault.cost = self._worth(fault.usage)
        self._call.usage_ledger.interruptions[self._call.target.key] += 1
        self._close(fault.reason, fault.usage, fault.cost)

    def called_off(self, usage: Usage | None) -> None:
        """Whoever asked does not want the rest."""
        if self._open:
            usage = self._so_far(usage)
            self._close(CANCELLED, usage, self._worth(usage))

    def _so_far(self, said: Usage | None) -> Usage:
        said = said or Usage()
        counted = said.input_tokens or estimate_tokens(self._call)
        written = max(said.output_tokens, -(-self.characters // CHARACTERS_PER_TOKEN))
        if (counted, written) == (said.input_tokens, said.output_tokens):
            return said
        return replace(said, input_tokens=counted, output_tokens=written, source=UsageSource.ESTIMATED)

    def _worth(self, usage: Usage | None) -> Cost | None:
        target = self._call.target
        return None if usage is None else self._price(target.provider, target.model, usage)

    def _close(self, reason: str, usage: Usage | None, cost: Cost | None) -> None:
        if not self._open:
            return
        self._open = False
        target = self._call.target
        outcomes = self._metrics.outcomes(target.provider, target.model)
        outcomes.attempted(reason)
        if usage is None:
            return
        outcomes.spent(usage, cost)
        self._sums.spent(target.provider, target.model, usage, cost)
        self._call.usage_ledger.entries.append(AttemptUsage(target.provider, target.model, usage, cost))
