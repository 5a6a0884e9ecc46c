"""Reject attempts at a failing provider, and pass the outcome of every attempt to its circuit breakers."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import CircuitOpen, GatewayError, ProviderModelDenied, ProviderRateLimited
from ..core.request import CALLER_KEY_ID, Attempt
from ..core.response import Event, Finished
from ..core.stream import Failed, Outcome, ResponseStream, StreamObserver
from ..resilience.attempt_effect import effect_of, root_cause
from ..resilience.breaker_registry import BreakerRegistry
from ..resilience.circuit_breaker import CircuitBreaker


class CircuitBreakerLayer:
    """Apply circuit breakers to one attempt at one target with one key.

    Each server key has a breaker per model, and one for the key itself, which opens for rejected credentials; that of
    a model opens at once if the key may not use it. Callers'
    own keys share one breaker per model and have none for the key: their rejections and rate limits are not recorded.
    Errors caused by the caller do not count as failures of the provider.
    """

    def __init__(self, breakers: BreakerRegistry) -> None:
        self._breakers = breakers

    def observe(self, attempt: Attempt[Any]) -> StreamObserver:
        """Enter the breakers.

        Raises CircuitOpen if a breaker is open, and ProviderRateLimited until the provider's Retry-After has passed.
        """
        breaker_call = _BreakerCall(attempt, self._breakers)
        breaker_call.acquire()
        return breaker_call


class _BreakerCall(StreamObserver):
    """One attempt's passage through its breakers. The first outcome counts; later ones are ignored."""

    __slots__ = ("_attempt", "_is_open", "_key_breaker", "_key_generation", "_model_breaker", "_model_generation")

    def __init__(self, attempt: Attempt[Any], breakers: BreakerRegistry) -> None:
        provider, model = attempt.target.key
        key_id = attempt.api_key.id
        self._attempt = attempt
        self._model_breaker = breakers.get(provider, model, key_id)
        self._key_breaker: CircuitBreaker | None = (
            None if key_id == CALLER_KEY_ID else breakers.get(provider, "", key_id)
        )
        self._model_generation = self._key_generation = 0
        self._is_open = True

    def acquire(self) -> None:
        """Enter both breakers. Raises CircuitOpen or ProviderRateLimited."""
        blocked_seconds = self._model_breaker.blocked_seconds
        if blocked_seconds:
            raise self._rate_limited(blocked_seconds)
        wait = None if self._key_breaker is None else self._key_breaker.try_acquire()
        if wait is not None:
            raise self._key_blocked(wait)
        self._key_generation = 0 if self._key_breaker is None else self._key_breaker.generation
        wait = self._model_breaker.try_acquire()
        if wait is not None:
            self._release_key()
            raise self._circuit_open(wait)
        self._model_generation = self._model_breaker.generation

    def on_first_content(self, stream: ResponseStream) -> None:
        self._model_breaker.record_first_content(self._model_generation)
        if self._key_breaker is not None:
            self._key_breaker.record_first_content(self._key_generation)

    def on_events(self, events: list[Event]) -> None:
        if self._is_open and events and type(events[-1]) is Finished:
            self._is_open = False
            self._model_breaker.record_success(self._model_generation)

    def on_end(self, outcome: Outcome) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if isinstance(outcome, Failed) and isinstance(outcome.error, GatewayError):
            self._failed(outcome.error)
        else:
            self._release()

    def _failed(self, error: GatewayError) -> None:
        match effect_of(error, self._attempt):
            case "credentials" if self._key_breaker is not None:
                self._key_breaker.record_credentials_failure(self._key_generation, error.reason)
                self._model_breaker.release(self._model_generation)
            case "model_denied":
                self._model_breaker.record_credentials_failure(self._model_generation, error.reason)
                self._release_key()
            case "failure":
                self._model_breaker.record_failure(self._model_generation, error.reason)
                self._release_key()
            case "rate_limited":
                # A rate limit opens no breaker: the provider itself states when to retry.
                self._block_for(root_cause(error).retry_after)
                self._release()
            case _:
                self._release()

    def _block_for(self, retry_after: float | None) -> None:
        if retry_after is not None and math.isfinite(retry_after) and retry_after > 0:
            self._model_breaker.block_for(retry_after)

    def _release(self) -> None:
        self._model_breaker.release(self._model_generation)
        self._release_key()

    def _release_key(self) -> None:
        if self._key_breaker is not None:
            self._key_breaker.release(self._key_generation)

    def _circuit_open(self, wait: float) -> CircuitOpen:
        provider, model = self._attempt.target.key
        cause = f"for provider {provider!r} after repeated failures"
        if self._model_breaker.open_reason == ProviderModelDenied.spec.reason:
            cause = f"for {provider}/{model}: the server's API key may not use this model"
        return CircuitOpen(
            f"Circuit breaker open {cause}. Retry in {math.ceil(wait)} s, or add a fallback model.",
            provider=provider,
            model=model,
            retry_after=wait,
        )

    def _key_blocked(self, wait: float) -> CircuitOpen:
        provider, model = self._attempt.target.key
        return CircuitOpen(
            f"Provider {provider!r} rejected the server's API key or its quota is exhausted. "
            f"Calls are blocked for {math.ceil(wait)} s.",
            provider=provider,
            model=model,
            retry_after=wait,
        )

    def _rate_limited(self, wait: float) -> ProviderRateLimited:
        provider, model = self._attempt.target.key
        return ProviderRateLimited(
            f"Provider {provider!r} is rate-limiting requests to {model!r}. Retry in {math.ceil(wait)} s.",
            provider=provider,
            model=model,
            retry_after=wait,
        )
