"""The one retry loop: make attempts at a call's targets, with their keys, until the first content arrives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..config.resilience import CircuitBreakerSettings, RetrySettings
from ..core.attempts import CANCELLED
from ..core.errors import CallerKeyRejected, ContextTooLong, GatewayError, OutputSchemaMismatch, ProviderQuotaExhausted
from ..core.handler import AttemptHandler, CallHandler, Clock
from ..core.provider_state import ProviderStateRejected, carries_state, latest_fingerprint
from ..core.request import CALLER_KEY_ID, NO_KEY, ApiKey, Attempt, Call, Target, UpstreamTimer
from ..core.request import Repair as SchemaRepair
from ..core.stream import OnEnd, ResponseStream
from ..resilience.attempt_effect import effect_of
from ..resilience.error_report import FirstError
from ..resilience.key_pool import KeyPool
from ..resilience.retry_budget import RetryBudget, RetryBudgets
from ..resilience.retry_policy import (
    KEY_SCOPED_ERRORS,
    REJECTED_KEY_ERRORS,
    Decision,
    Fallback,
    NextKey,
    OmitState,
    Repair,
    Retry,
    RetryState,
    decide,
    eligible_fallbacks,
    least_severe,
)
from ..telemetry.logger import get_logger
from ..telemetry.metrics import Metrics
from .hedging import Hedging

Sleep = Callable[[float], Awaitable[None]]


class RetryAndFallback:
    """Return the first response that begins. If every attempt fails, raise the first error, which names the last.

    The retry policy decides what follows each error; this layer carries it out. `key_pools` are the server's keys by
    provider: a rejected key is quarantined for `credentials_open_seconds`. `sleep` waits a number of seconds; `random`
    returns the jitter, from 0 to 1.
    """

    def __init__(
        self,
        retry: RetrySettings,
        circuit_breaker: CircuitBreakerSettings,
        budgets: RetryBudgets,
        key_pools: Mapping[str, KeyPool],
        metrics: Metrics,
        clock: Clock,
        sleep: Sleep,
        random: Callable[[], float],
        hedging: Hedging | None = None,
    ) -> None:
        self.settings = retry
        self.quarantine_seconds = circuit_breaker.credentials_open_seconds
        self.budgets = budgets
        self.key_pools = key_pools
        self.metrics = metrics
        self.clock = clock
        self.sleep = sleep
        self.random = random
        self.hedging = hedging
        self.log = get_logger()

    def over(self, proceed: AttemptHandler) -> CallHandler:
        """Return a handler of calls that makes its attempts with `proceed`."""
        return partial(self._handle, proceed=proceed)

    async def _handle(self, call: Call, proceed: AttemptHandler) -> ResponseStream:
        progress = _Progress(self, call)
        attempt = progress.first_attempt()
        while True:
            try:
                if self.hedging is not None and progress.may_hedge(attempt):
                    send = partial(self._send, proceed=proceed)
                    stream = await self.hedging(attempt, progress.hedge, send)
                else:
                    stream = await self._send(attempt, proceed)
            except GatewayError as error:
                attempt.record.end(self.clock(), error.reason, error.usage)
                attempt = await progress.next_attempt(attempt, error)
            except BaseException:
                attempt.record.end(self.clock(), CANCELLED)
                raise
            else:
                stream.metadata.attempts = call.attempts.records
                return stream

    async def _send(self, attempt: Attempt[Any], proceed: AttemptHandler) -> ResponseStream:
        """Send an attempt, hedged or not. Counts its key as in flight, and quarantines it if it is rejected."""
        if attempt.api_key.id == CALLER_KEY_ID:
            return await _with_caller_key(attempt, proceed)
        pool = self.key_pools.get(attempt.target.provider)
        if pool is None or not len(pool):
            return await proceed(attempt)
        release = partial(pool.release, attempt.api_key) if pool.tracks_in_flight else None
        if release is not None:
            pool.acquire(attempt.api_key)
        try:
            stream = await proceed(attempt)
        except BaseException as error:
            if release is not None:
                release()
            if isinstance(error, GatewayError) and effect_of(error, attempt) == "credentials":
                self._quarantine(pool, attempt, error)
            raise
        return stream if release is None else stream.observed_by(OnEnd(release))

    def _quarantine(self, pool: KeyPool, attempt: Attempt[Any], error: GatewayError) -> None:
        key = pool.peek() if attempt.api_key is NO_KEY else attempt.api_key
        pool.quarantine(key, self.quarantine_seconds)
        self.log.warning("provider.key_rejected", provider=attempt.target.provider, key_id=key.id, reason=error.reason)


class _Progress:
    """The progress of one call through its targets and keys."""

    __slots__ = (
        "_attempts", "_call", "_first_error", "_key_errors", "_keys", "_layer", "_mismatch", "_next_key", "_pool",
        "_remaining", "_sent_before", "_started_at", "_target",
    )  # fmt: skip

    def __init__(self, layer: RetryAndFallback, call: Call) -> None:
        self._layer = layer
        self._call = call
        self._first_error = FirstError(layer.clock)
        self._mismatch: OutputSchemaMismatch | None = None
        self._remaining: tuple[Target, ...] = call.targets
        self._enter_next_target()

    def first_attempt(self) -> Attempt[Any]:
        """Start the first attempt at the current target."""
        if not self._call.attempts.requests_sent(self._target.key):
            self._layer.budgets.get(self._call, self._target.provider).deposit()
        return self._new_attempt()

    async def next_attempt(self, attempt: Attempt[Any], error: GatewayError) -> Attempt[Any]:
        """Start the attempt that follows an error, after its backoff. Raises the first error if none may follow."""
        layer = self._layer
        if isinstance(error, KEY_SCOPED_ERRORS):
            self._key_errors.append(error)
        decision = self._decide(error, attempt)
        if isinstance(decision, NextKey):
            if decision.is_retry:
                self._withdraw_retry(attempt)
            return self._another_attempt(attempt, repair=attempt.repair)
        if isinstance(decision, Repair | OmitState):
            return self._corrected_attempt(attempt, error)
        if self._key_errors and isinstance(error, KEY_SCOPED_ERRORS):
            error = least_severe(self._key_errors)
            decision = self._decide(error, attempt)
        self._note_failure(attempt, error)
        if isinstance(decision, Retry):
            if self._was_sent:
                self._withdraw_retry(attempt)
                layer.metrics.retries.labels(self._target.provider).inc()
            if decision.delay:
                with attempt.upstream_timer.measure():
                    await layer.sleep(decision.delay)
            self._restart_target()
            return self._another_attempt(attempt)
        if isinstance(decision, Fallback):
            layer.metrics.fallbacks.labels(self._target.provider).inc()
            self._enter_next_target()
            return self.first_attempt()
        raise self._first_error.report(error)

    def _note_failure(self, attempt: Attempt[Any], error: GatewayError) -> None:
        """Remember the first error of the call."""
        if self._mismatch is not None and attempt.repair is not None and isinstance(error, ContextTooLong):
            # The prompt fits; what does not is the prompt with the rejected answer, which the caller cannot shorten.
            self._first_error.add(self._mismatch)
        self._first_error.add(error)

    def may_hedge(self, attempt: Attempt[Any]) -> bool:
        """Return whether a second request may be sent while this one is in flight: for the first of a unary call."""
        is_first = self._attempts == 1 and not self._key_errors and attempt.repair is None
        return is_first and bool(self._remaining) and not self._call.streaming

    def hedge(self) -> Attempt[Any]:
        """Start an attempt at the next target, to run concurrently with the current one."""
        target, *others = self._remaining
        attempt = self._start(target, tuple(others), self._first_key(target))
        # A separate timer, since the two waits overlap.
        attempt.upstream_timer = UpstreamTimer()
        return attempt

    @property
    def _budget(self) -> RetryBudget:
        return self._layer.budgets.get(self._call, self._target.provider)

    def _withdraw_retry(self, failed: Attempt[Any]) -> None:
        if failed.record.affects_health:
            self._budget.withdraw()

    @property
    def _was_sent(self) -> bool:
        """Whether a request was sent to the target since the last retry; if not, a retry costs nothing."""
        return self._call.attempts.requests_sent(self._target.key) > self._sent_before

    def _decide(self, error: GatewayError, attempt: Attempt[Any]) -> Decision:
        call, key, layer = self._call, self._target.key, self._layer
        tried = {record.key for record in call.attempts.records}
        self._remaining = tuple(
            target for target in eligible_fallbacks(error, self._target, self._remaining) if target.key not in tried
        )
        state = RetryState(
            # Requests for other keys, repairs and interrupted responses count as well.
            attempts=max(self._attempts, call.attempts.requests_sent(key)),
            fallbacks=len(self._remaining),
            remaining_seconds=call.remaining_seconds(layer.clock()),
            within_budget=not self._was_sent or self._budget.allows_retry,
            interruptions=call.attempts.interruptions(key),
            elapsed_seconds=layer.clock() - self._started_at,
            other_keys=isinstance(error, KEY_SCOPED_ERRORS) and self._peek_key() is not None,
            is_repairable=isinstance(error, OutputSchemaMismatch) and error.repair is not None,
            carries_state=not attempt.omits_state and carries_state(attempt.messages, self._target.provider),
            was_sent=attempt.record.sent_at is not None,
        )
        return decide(error, state, layer.settings, layer.random())

    def _enter_next_target(self) -> None:
        self._target, *others = self._remaining
        self._remaining = tuple(others)
        self._attempts = 0
        caller_key = self._call.caller.provider_keys.get(self._target.provider)
        self._pool = None if caller_key else self._layer.key_pools.get(self._target.provider)
        self._restart_target()

    def _restart_target(self) -> None:
        """Begin with the first key again."""
        self._attempts += 1
        self._key_errors: list[GatewayError] = []
        self._keys: Iterator[ApiKey] = iter(()) if self._pool is None else self._candidates(self._pool, self._target)
        self._next_key: ApiKey | None = None
        self._sent_before = self._call.attempts.requests_sent(self._target.key)
        self._started_at = self._layer.clock()

    def _peek_key(self) -> ApiKey | None:
        if self._next_key is None:
            self._next_key = next(self._keys, None)
        return self._next_key

    def _new_attempt(self, api_key: ApiKey | None = None) -> Attempt[Any]:
        """Start an attempt at the current target, with the next key unless one is given."""
        if api_key is None:
            caller_key = self._call.caller.provider_keys.get(self._target.provider)
            api_key = ApiKey(CALLER_KEY_ID, caller_key) if caller_key else self._peek_key() or NO_KEY
            self._next_key = None
        return self._start(self._target, self._remaining, api_key)

    def _another_attempt(
        self, previous: Attempt[Any], api_key: ApiKey | None = None, repair: SchemaRepair | None = None
    ) -> Attempt[Any]:
        """Start an attempt at the target of the previous one, with the attachments that were fetched for it."""
        attempt = self._new_attempt(api_key)
        attempt.messages = previous.messages
        attempt.omits_state = previous.omits_state
        attempt.repair = repair
        return attempt

    def _corrected_attempt(self, previous: Attempt[Any], error: GatewayError) -> Attempt[Any]:
        """Start an attempt with the same key that corrects the answer, or omits the state that was rejected."""
        repair = previous.repair
        if isinstance(error, OutputSchemaMismatch):
            self._mismatch, repair = error, error.repair
        attempt = self._another_attempt(previous, previous.api_key, repair)
        attempt.omits_state = previous.omits_state or isinstance(error, ProviderStateRejected)
        return attempt

    def _first_key(self, target: Target) -> ApiKey:
        caller_key = self._call.caller.provider_keys.get(target.provider)
        pool = self._layer.key_pools.get(target.provider)
        if caller_key:
            return ApiKey(CALLER_KEY_ID, caller_key)
        # The provider uses its only key by itself.
        return NO_KEY if pool is None else next(self._candidates(pool, target), NO_KEY)

    def _candidates(self, pool: KeyPool, target: Target) -> Iterator[ApiKey]:
        """Return the keys to try: that of the state of earlier turns first, none if the provider has a single key."""
        if len(pool) < 2:
            return iter(())
        return pool.candidates(latest_fingerprint(self._call.messages, target.provider))

    def _start(self, target: Target, remaining: tuple[Target, ...], api_key: ApiKey) -> Attempt[Any]:
        is_streamed, first_token_timeout = upstream_mode(self._call, target, has_fallbacks=bool(remaining))
        return Attempt.of(
            self._call, target, self._layer.clock(), is_streamed=is_streamed, first_token_timeout=first_token_timeout,
            api_key=api_key,
        )  # fmt: skip


def upstream_mode(call: Call, target: Target, *, has_fallbacks: bool) -> tuple[bool, float | None]:
    """Return whether the upstream request is streamed, and the first-token timeout in seconds, None for the deadline.

    The timeout applies only if a fallback remains or if it is explicit: ending a wait that no other target could
    shorten turns an answer into an error. The upstream request of a unary call is streamed if the timeout applies, or
    if the response may take minutes: a stream shows early that the model is working.
    """
    timeouts = target.timeouts
    is_timed = has_fallbacks or timeouts.is_explicit
    needs_progress = is_timed or timeouts.set_by_caller or target.prefers_streaming
    is_streamed = call.streaming or (needs_progress and target.can_stream)
    return is_streamed, timeouts.first_token if is_timed and is_streamed else None


async def _with_caller_key(attempt: Attempt[Any], proceed: AttemptHandler) -> ResponseStream:
    """Proceed with the caller's own key; its rejection is the caller's error, so it raises no alert of the operator."""
    provider, model = attempt.target.key
    secret = attempt.api_key.secret
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise CallerKeyRejected(
            f"The caller's API key for provider {provider!r} contains whitespace, control or non-ASCII characters.",
            provider=provider,
            model=model,
        )
    try:
        return await proceed(attempt)
    except REJECTED_KEY_ERRORS as error:
        attempt.record.reject(CallerKeyRejected.spec.reason)
        raise CallerKeyRejected(
            error.message,
            solution=error.solution if isinstance(error, ProviderQuotaExhausted) else "",
            provider=error.provider,
            model=error.model,
            upstream_status=error.upstream_status,
        ) from error
