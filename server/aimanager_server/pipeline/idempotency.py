"""Return the first response again for a repeated idempotency key, so that a client's retry is not billed twice."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from functools import partial

from ..core.handler import CallHandler
from ..core.request import Call
from ..core.response import CacheStatus, Event, GenerateResult
from ..core.stream import OnEnd, ResponseStream
from ..resilience.fingerprint import Fingerprints
from ..storage.idempotency import IdempotencyStore, store_key
from .response_recorder import ResponseRecorder
from .response_replay import complete_events

OPERATION = "generate"


class Idempotency:
    """Store complete responses by caller and idempotency key, and replay them.

    A repeated key waits while the first call is in flight. Errors are not stored: a retry after an error is a new call.
    """

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._fingerprints = Fingerprints()

    def __call__(self, call: Call, proceed: CallHandler) -> Awaitable[ResponseStream]:
        """Return the stored response, or proceed. Raises InvalidRequest if the key was used for another request."""
        return self._once(call, proceed) if call.idempotency_key else proceed(call)

    async def _once(self, call: Call, proceed: CallHandler) -> ResponseStream:
        key, digest = store_key(OPERATION, call), await self._digest(call)
        stored = await self._store.claim(key, digest, call)
        if isinstance(stored, GenerateResult):
            return replay(stored)
        try:
            stream = await proceed(call)
        except BaseException:
            self._store.release(key)
            raise
        recorder = ResponseRecorder(stream.metadata)

        async def store(events: list[Event]) -> None:
            # An inner finalizer may have completed the last event, such as with its validated JSON.
            recorder.on_events(events[-1:])
            await self._store.put(key, digest, recorder.result())

        released = OnEnd(partial(self._store.release, key))
        return stream.observed_by(recorder).finalized_by(store).observed_by(released)

    async def _digest(self, call: Call) -> bytes:
        """Return the digest of what determines the response."""
        # Sorted, since load balancing may change the order of the targets.
        targets = sorted(call.targets, key=lambda target: target.key)
        return await self._fingerprints.digest(
            [(target.key, target.sampling, target.reasoning, target.options) for target in targets],
            call.system_instruction,
            # The history that a conversation had at the first call has changed by then.
            call.new_messages,
            "" if call.turn is None else call.turn.conversation_id,
            call.tools,
            call.tool_choice,
            call.output_format,
            call.extract_artifacts,
            sorted(call.optimizations),
        )


def replay(result: GenerateResult) -> ResponseStream:
    """Return a stream of a complete response, part by part, without deltas."""
    metadata = replace(result.metadata, cache_status=CacheStatus.IDEMPOTENT_REPLAY)
    return ResponseStream.of(metadata, complete_events(result))
