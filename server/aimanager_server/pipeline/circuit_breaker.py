"""Keeps calls away from a provider that fails, and learns from every outcome."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

from ..core.errors import (
    CircuitOpen,
    DeadlineExceeded,
    FirstTokenTimeout,
    GatewayError,
    ProviderRateLimited,
    ProviderTimeout,
    StreamInterrupted,
)
from ..core.handler import Clock, Handler
from ..core.request import CALLER_KEY_ID, Call
from ..core.response import Event, Finished, ResponseStream
from ..resilience.breaker_registry import Breaker, Breakers
from ..telemetry.model_stats import Quality
from ..telemetry.provider_stats import Vitals


class Guard:
    """Circuit breakers around one target, asked with one key. Caller faults say nothing about a provider.

    The server's keys have a circuit each for a model, and one for all that the key opens there; callers' own keys share
    one for each model, which neither a refusal nor a rate limit of theirs moves.
    """

    def __init__(self, breakers: Breakers, vitals: Vitals, clock: Clock, quality: Quality | None = None) -> None:
        self._breakers = breakers
        self._vitals = vitals
        self._clock = clock
        self._quality = quality

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Proceed and record how it went.

        Raises CircuitOpen where a circuit is open, and ProviderRateLimited where the provider asked to wait.
        """
        trial = _Trial(call, self._breakers, self._vitals, self._clock, self._quality)
        trial.admit()
        try:
            reply = await proceed(call)
        except GatewayError as fault:
            trial.failed(fault)
            raise
        except BaseException:
            trial.abandoned()
            raise
        trial.began()

        async def close() -> None:
            trial.abandoned()
            await reply.aclose()

        return ResponseStream(reply.metadata, _watched(reply, trial), close, reply.usage_so_far)


async def _watched(reply: ResponseStream, trial: _Trial) -> AsyncIterator[Event]:
    try:
        async for event in reply:
            if isinstance(event, Finished):
                trial.succeeded(event)
            yield event
    except GatewayError as fault:
        trial.failed(fault)
        raise
    finally:
        trial.abandoned()


class _Trial:
    """One call's way through its circuits; the first outcome told is the one that counts."""

    __slots__ = (
        "_account", "_account_era", "_began_at", "_call", "_clock", "_first_at", "_model", "_model_era", "_open",
        "_quality", "_vitals",
    )  # fmt: skip

    def __init__(self, call: Call, breakers: Breakers, vitals: Vitals, clock: Clock, quality: Quality | None) -> None:
        target = call.target
        key_id = call.api_key.id or (CALLER_KEY_ID if call.caller.provider_keys.get(target.provider) else "")
        self._model = breakers.of(target.provider, target.model, key_id)
        self._account: Breaker | None = None if key_id == CALLER_KEY_ID else breakers.of(target.provider, "", key_id)
        self._model_era = self._account_era = 0
        self._vitals = vitals
        self._quality = quality
        self._call = call
        self._clock = clock
        self._began_at = clock()
        self._first_at = 0.0
        self._open = True

    def admit(self) -> None:
        """Take a place, or raise why there is none."""
        held = self._model.held
        if held:
            raise self._must_wait(held)
        wait = None if self._account is None else self._account.admit()
        if wait is not None:
            raise self._left_alone("refused the key it was asked with, or its account is spent,", wait)
        self._account_era = 0 if self._account is None else self._account.era
        wait = self._model.admit()
        if wait is not None:
            self._spare_account()
            raise self._left_alone("failed too often", wait)
        self._model_era = self._model.era
        if self._quality is not None:
            self._quality.began(self._call.target.provider, self._call.target.model)

    def began(self) -> None:
        """First content arrived."""
        self._first_at = self._clock()
        self._model.began(self._model_era)
        if self._account is not None:
            self._account.began(self._account_era)

    def succeeded(self, event: Finished) -> None:
        """The whole answer arrived."""
        if not self._settle():
            return
        target, seconds = self._call.target, self._clock() - self._began_at
        self._vitals.answered(target.provider, seconds)
        self._model.succeeded(self._model_era)
        if self._quality is not None:
            first = self._first_at - self._began_at if self._call.is_upstream_streamed else None
            self._quality.answered(target.provider, target.model, seconds, first, event.usage.output_tokens)

    def failed(self, fault: GatewayError) -> None:
        """It failed, whoever's fault that is."""
        if not self._settle():
            return
        verdict = _decisive(fault)
        own = self._account is None
        if isinstance(verdict, ProviderRateLimited) and not own:
            self._hold(verdict.retry_after)
            self._note(fault.reason, verdict.solution)
        says = "ignore" if self._is_impatience(fault) else verdict.spec.breaker_effect
        if says == "ignore" or (says == "open" and own):
            self._give_back()
            return
        self._note(fault.reason, verdict.solution)
        if says == "open" and self._account is not None:
            self._account.refused(self._account_era, fault.reason)
            self._model.abandoned(self._model_era)
        else:
            self._model.failed(self._model_era, fault.reason)
            self._spare_account()

    def _is_impatience(self, fault: GatewayError) -> bool:
        """The caller would not wait as long as the operator does: no one else shall pay for that."""
        ran_out = isinstance(fault, FirstTokenTimeout) or isinstance(fault.__cause__, ProviderTimeout)
        return ran_out and self._call.target.timeouts.set_by_caller

    def abandoned(self) -> None:
        """Nobody wants the answer any more."""
        if self._settle():
            self._give_back()

    def _note(self, reason: str, solution: str) -> None:
        """Of a provider that has too much to do no circuit is opened, but it does not do well either."""
        target = self._call.target
        self._vitals.failed(target.provider, reason, solution)
        if self._quality is not None:
            self._quality.failed(target.provider, target.model)

    def _hold(self, advice: float | None) -> None:
        if advice is not None and math.isfinite(advice) and advice > 0:
            self._model.hold(advice)

    def _settle(self) -> bool:
        was_open, self._open = self._open, False
        if was_open and self._quality is not None:
            self._quality.ended(self._call.target.provider, self._call.target.model)
        return was_open

    def _give_back(self) -> None:
        self._model.abandoned(self._model_era)
        self._spare_account()

    def _spare_account(self) -> None:
        if self._account is not None:
            self._account.abandoned(self._account_era)

    def _left_alone(self, why: str, wait: float) -> CircuitOpen:
        target = self._call.target
        return CircuitOpen(
            f"Provider {target.provider!r} {why} and is left alone for {math.ceil(wait)} more seconds.",
            provider=target.provider,
            model=target.model,
            retry_after=wait,
        )

    def _must_wait(self, wait: float) -> ProviderRateLimited:
        target = self._call.target
        return ProviderRateLimited(
            f"Provider {target.provider!r} asked to wait before {target.model!r} is asked again: "
            f"{math.ceil(wait)} more seconds.",
            provider=target.provider,
            model=target.model,
            retry_after=wait,
        )


def _decisive(fault: GatewayError) -> GatewayError:
    """What broke an answer off, where that is known; a deadline of ours, whatever it looked like from outside."""
    cause = fault.__cause__
    breaks_off = isinstance(fault, StreamInterrupted) and isinstance(cause, GatewayError)
    return cause if isinstance(cause, GatewayError) and (breaks_off or isinstance(cause, DeadlineExceeded)) else fault
