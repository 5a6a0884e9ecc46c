"""Return a stored response for an equal request of the same caller, or share the one that is being generated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..core.cache_policy import CacheMode, CachePolicy
from ..core.errors import StorageUnavailable
from ..core.handler import CallHandler, Clock
from ..core.request import Call
from ..core.response import (
    CacheStatus,
    Event,
    Finished,
    FinishReason,
    GenerateResult,
    ResponseBuilder,
    ResponseMetadata,
    Restarted,
)
from ..core.stream import Completed, Outcome, ResponseStream, StreamObserver
from ..resilience.request_coalescing import RequestCoalescer
from ..storage.cache_key import CacheKey, CacheKeys
from ..storage.response_cache import CachedResponse, ResponseStore
from ..telemetry.logger import get_logger
from ..telemetry.response_cache_metrics import ResponseCacheMetrics
from .response_replay import complete_events, replayed_stream

BYPASS_SECONDS = 5.0
"""How long no response is looked up after the store has failed, so that calls do not wait for it one after another."""

WHOLE = (FinishReason.STOP, FinishReason.TOOL_CALLS)
"""Finish reasons of responses that are stored: a cut, refused or filtered one may come out better the next time."""


class ResponseCache:
    """Store complete responses by owner and content of the request, and replay them; share those in flight.

    A failure of the store never fails a call. `keeps_conversations` is false if the responses of calls in conversations
    cannot be deleted with them; they are not stored then. `now` returns the Unix time.
    """

    def __init__(
        self,
        store: ResponseStore,
        keys: CacheKeys,
        metrics: ResponseCacheMetrics,
        coalesce: RequestCoalescer,
        now: Callable[[], float],
        clock: Clock,
        *,
        keeps_conversations: bool = True,
    ) -> None:
        self.store = store
        self.metrics = metrics
        self.now = now
        self.keeps_conversations = keeps_conversations
        self._keys = keys
        self._coalesce = coalesce
        self._clock = clock
        self._bypassed_until = 0.0

    def __call__(self, call: Call, proceed: CallHandler) -> Awaitable[ResponseStream]:
        """Return the stored response, or proceed; at once for a call that does not use the cache."""
        policy = call.cache_policy
        return proceed(call) if policy is None else self._cached(call, policy, proceed)

    async def _cached(self, call: Call, policy: CachePolicy, proceed: CallHandler) -> ResponseStream:
        key = await self._keys.of(call)
        if policy.mode is CacheMode.REFRESH:
            self.metrics.refreshes.inc()
            return await self._generate(key, proceed, call)
        if (found := await self._find(key, call, policy.max_age)) is not None:
            self.metrics.hits.inc()
            return _hit(call, found)

        def generate(shared: Call) -> Awaitable[ResponseStream]:
            self.metrics.misses.inc()
            return self._generate(key, proceed, shared)

        # Not with calls of an earlier configuration, which have a layer of their own.
        return await self._coalesce((self, key.digest), call, generate)

    async def _generate(self, key: CacheKey, proceed: CallHandler, call: Call) -> ResponseStream:
        """Return the response of a provider, and store it when it is complete."""
        stream = await proceed(call)
        if call.turn is None or self.keeps_conversations:
            stream.observed_by(_Recorder(self, call, key, stream.metadata))
        return stream

    async def _find(self, key: CacheKey, call: Call, max_age: float | None) -> CachedResponse | None:
        if self._bypassed_until and self._clock() < self._bypassed_until:
            return None
        try:
            with call.upstream_timer.measure():
                found = await self.store.find(key)
        except StorageUnavailable as error:
            self._bypassed_until = self._clock() + BYPASS_SECONDS
            self.metrics.failed_reads.inc()
            get_logger().warning("response_cache.failed", operation="read", error=type(error).__name__)
            return None
        if found is None or (max_age is not None and self.now() - found.generated_at > max_age):
            return None
        return found


def _hit(call: Call, found: CachedResponse) -> ResponseStream:
    result, finished = found.result, found.result.finished
    stored, saved = result.metadata, finished.cost
    key = stored.provider, stored.model
    # What was changed in this request, then what happened to the response when it was generated.
    changed = next((target.warnings for target in call.targets if target.key == key), ())
    metadata = ResponseMetadata(
        call.id, call.requested_model, stored.provider, stored.model, (), (*changed, *stored.warnings),
        cache_status=CacheStatus.HIT, saved_cost=saved, generated_at=found.generated_at,
    )  # fmt: skip
    replayed = GenerateResult(metadata, result.message, finished.without_cost(0.0), result.artifacts)
    if call.streaming:
        return replayed_stream(metadata, replayed)
    return ResponseStream.of(metadata, complete_events(replayed))


class _Recorder(StreamObserver):
    """Stores a response when it has ended, if it is the whole response of the model that was asked first."""

    __slots__ = ("_builder", "_call", "_is_restarted", "_key", "_layer", "_metadata")

    def __init__(self, layer: ResponseCache, call: Call, key: CacheKey, metadata: ResponseMetadata) -> None:
        self._layer = layer
        self._call = call
        self._key = key
        self._metadata = metadata
        self._builder = ResponseBuilder()
        self._is_restarted = False

    def on_events(self, events: list[Event]) -> None:
        for event in events:
            self._builder.add(event)
        if type(events[0]) is Restarted:  # always the first of its batch
            self._is_restarted = True

    def on_end(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Completed) or self._is_restarted:
            return
        result = self._builder.result(self._metadata)
        if self._is_whole(result):
            layer, turn = self._layer, self._call.turn
            conversation_id = "" if turn is None else turn.conversation_id
            layer.store.put(self._key, CachedResponse(self._stored(result, outcome), layer.now(), conversation_id))

    def _is_whole(self, result: GenerateResult) -> bool:
        metadata, finished = result.metadata, result.finished
        return (
            finished.reason in WHOLE
            and bool(result.message.parts)
            # Not of a fallback: the next call shall get the model that it asks for.
            and (metadata.provider, metadata.model) == self._call.target.key
        )

    def _stored(self, result: GenerateResult, outcome: Completed) -> GenerateResult:
        """Return the response without what belongs to this call."""
        metadata, finished = result.metadata, result.finished
        changed = self._call.target.warnings
        stored = ResponseMetadata(
            metadata.id, metadata.requested_model, metadata.provider, metadata.model,
            warnings=tuple(warning for warning in metadata.warnings if warning not in changed),
        )  # fmt: skip
        # The validated JSON is set after the events were observed.
        structured_json = outcome.finished.structured_json
        ended = Finished(finished.reason, finished.provider_reason, finished.usage, finished.cost, 0.0, structured_json)
        return GenerateResult(stored, result.message, ended, result.artifacts)
