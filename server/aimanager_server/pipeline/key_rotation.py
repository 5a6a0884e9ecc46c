"""Gives a call its key: the caller's own, or else the server's keys of the provider in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from ..core.attempts import AttemptRecord
from ..core.errors import (
    CallerKeyRejected,
    CircuitOpen,
    GatewayError,
    ProviderCredentialsInvalid,
    ProviderQuotaExhausted,
    ProviderRateLimited,
)
from ..core.handler import Clock, Handler
from ..core.request import CALLER_KEY_ID, ApiKey, Call
from ..core.response import ResponseStream
from ..resilience.key_pool import REFUSED_SECONDS, KeyRing
from ..resilience.retry_budget import Budgets
from .attempt_log import of_answer, of_failure

OF_ONE_KEY = (ProviderCredentialsInvalid, ProviderQuotaExhausted, ProviderRateLimited, CircuitOpen)
"""What fails with one key and may do so with no other."""


class Rotate:
    """The layer between one target and its circuits, of which each key has its own.

    A key that is refused rests for `refused_seconds`, and the next is tried at once, as it is where a key is at its
    rate limit or its circuit is open. What fails by another cause would fail with any key, and is raised as it is.
    A limit may be the account's and not the key's: to go on after one is a retry, in `most` sendings and the budget.
    """

    def __init__(
        self,
        rings: Mapping[str, KeyRing],
        budgets: Budgets,
        clock: Clock,
        most: int = 3,
        refused_seconds: float = REFUSED_SECONDS,
    ) -> None:
        self._rings = rings
        self._budgets = budgets
        self._clock = clock
        self._most = most
        self._refused_seconds = refused_seconds
        self._log = structlog.get_logger()

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """The first answer that begins. Raises the first fault that came from the provider where no key helps."""
        provider = call.target.provider
        own = call.caller.provider_keys.get(provider)
        if own:
            return await _with_own(call, own, proceed)
        ring = self._rings.get(provider)
        if not ring:
            return await proceed(call)
        if len(ring) > 1:
            return await self._in_turn(call, ring, proceed)
        try:
            # The provider takes its only key by itself: putting it into the call would cost more than all the rest.
            return await proceed(call)
        except (ProviderCredentialsInvalid, ProviderQuotaExhausted) as fault:
            self._refused(ring, ring.first(), fault, provider)
            raise

    async def _in_turn(self, call: Call, ring: KeyRing, proceed: Handler) -> ResponseStream:
        course = _Course(call)
        sendings = call.usage_ledger.requests_sent
        for key in ring.candidates():
            sent, began = sendings[call.target.key], self._clock()
            try:
                reply = await _counted(replace(call, api_key=key), ring, proceed)
            except GatewayError as fault:
                course.failed(fault, self._clock() - began)
                if not isinstance(fault, OF_ONE_KEY):
                    fault.attempts = course.tries
                    raise
                if isinstance(fault, ProviderCredentialsInvalid | ProviderQuotaExhausted):
                    self._refused(ring, key, fault, call.target.provider)
                elif sendings[call.target.key] > sent and not self._may_retry(call):
                    break
            else:
                return course.answered(reply, self._clock() - began)
        raise course.verdict()

    def _may_retry(self, call: Call) -> bool:
        budget = self._budgets.of(call, call.target.provider)
        if call.usage_ledger.requests_sent[call.target.key] >= self._most or not budget.affordable:
            return False
        budget.spend()
        return True

    def _refused(self, ring: KeyRing, key: ApiKey, fault: GatewayError, provider: str) -> None:
        ring.refused(key, self._refused_seconds)
        self._log.warning("provider.key_refused", provider=provider, key=key.id, reason=fault.reason)


class _Course:
    """One call's way through the keys."""

    __slots__ = ("_faults", "_target", "tries")

    def __init__(self, call: Call) -> None:
        self._target = call.target
        self._faults: list[GatewayError] = []
        self.tries: tuple[AttemptRecord, ...] = ()

    def failed(self, fault: GatewayError, seconds: float) -> None:
        """Take note of a failure."""
        self._faults.append(fault)
        self.tries += of_failure(fault, self._target, seconds)

    def answered(self, reply: ResponseStream, seconds: float) -> ResponseStream:
        """The reply, its head saying what was tried before."""
        if not self.tries:
            return reply
        tries = of_answer(reply, self._target, seconds)
        return reply.with_metadata(replace(reply.metadata, attempts=(*self.tries, *tries)))

    def verdict(self) -> GatewayError:
        """The fault that leaves most hope: of a key that is only limited, of one that is refused, of a shut circuit."""
        told = min(self._faults, key=_hopelessness)
        told.attempts = self.tries
        return told


def _hopelessness(fault: GatewayError) -> tuple[bool, bool, float]:
    return not fault.spec.retryable, isinstance(fault, CircuitOpen), fault.retry_after or 0.0


async def _counted(call: Call, ring: KeyRing, proceed: Handler) -> ResponseStream:
    """The answer, its key counted as busy until the answer ends or is put down."""
    if not ring.counts:
        return await proceed(call)
    is_open = True

    def release() -> None:
        nonlocal is_open
        if is_open:
            is_open = False
            ring.released(call.api_key)

    ring.taken(call.api_key)
    try:
        reply = await proceed(call)
    except BaseException:
        release()
        raise

    return reply.on_end(release)


async def _with_own(call: Call, secret: str, proceed: Handler) -> ResponseStream:
    target = call.target
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        message = "The key given for the provider holds a blank, a line break or a letter beyond ASCII."
        raise CallerKeyRejected(message, provider=target.provider, model=target.model)
    try:
        return await proceed(replace(call, api_key=ApiKey(CALLER_KEY_ID, secret)))
    except (ProviderCredentialsInvalid, ProviderQuotaExhausted) as fault:
        # The caller's key is the caller's affair: neither the server's alerts nor another provider hears of it.
        raise CallerKeyRejected(
            fault.message,
            solution=fault.solution if isinstance(fault, ProviderQuotaExhausted) else "",
            provider=fault.provider,
            model=fault.model,
            upstream_status=fault.upstream_status,
        ) from fault
