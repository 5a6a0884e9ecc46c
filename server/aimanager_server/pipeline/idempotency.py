"""Return the first response again for a repeated idempotency key, so that a client's retry is not billed twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import replace

from ..core.errors import DeadlineExceeded, FieldViolation, InvalidRequest
from ..core.handler import CallHandler
from ..core.request import Call
from ..core.response import (
    ArtifactExtracted,
    Event,
    GenerateResult,
    PartCompleted,
    ResponseBuilder,
    ResponseMetadata,
)
from ..core.stream import OnEnd, ResponseStream, StreamObserver
from ..resilience.idempotency_store import IdempotencyStore


class Idempotency:
    """Store complete responses by caller and idempotency key, and replay them.

    A repeated key waits while the first call is in flight. Errors are not stored: a retry after an error is a new call.
    """

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._in_flight: dict[bytes, asyncio.Event] = {}

    def __call__(self, call: Call, proceed: CallHandler) -> Awaitable[ResponseStream]:
        """Return the stored response, or proceed. Raises InvalidRequest if the key was used for another request."""
        return self._once(call, proceed) if call.idempotency_key else proceed(call)

    async def _once(self, call: Call, proceed: CallHandler) -> ResponseStream:
        key, fingerprint = _store_key(call), _fingerprint(call)
        while (first_ended := self._in_flight.get(key)) is not None:
            await _wait_for_first(first_ended, call)
        stored = self._store.get(key)
        if stored is None:
            return await self._first_call(call, proceed, key, fingerprint)
        if stored[0] != fingerprint:
            raise _key_reused(call.idempotency_key)
        return replay(stored[1])

    async def _first_call(self, call: Call, proceed: CallHandler, key: bytes, fingerprint: int) -> ResponseStream:
        ended = self._in_flight[key] = asyncio.Event()

        def release() -> None:
            if self._in_flight.get(key) is ended:
                del self._in_flight[key]
                ended.set()

        try:
            stream = await proceed(call)
        except BaseException:
            release()
            raise
        recorder = _Recorder(stream.metadata)

        async def store(events: list[Event]) -> None:
            # An inner finalizer may have completed the last event, such as with its validated JSON.
            recorder.on_events(events[-1:])
            self._store.put(key, fingerprint, recorder.result())

        return stream.observed_by(recorder).finalized_by(store).observed_by(OnEnd(release))


class _Recorder(StreamObserver):
    """Collects the events of a response."""

    __slots__ = ("_builder", "_metadata", "_time_to_first_token")

    def __init__(self, metadata: ResponseMetadata) -> None:
        self._builder = ResponseBuilder()
        self._metadata = metadata
        self._time_to_first_token = metadata.time_to_first_token

    def on_events(self, events: list[Event]) -> None:
        for event in events:
            self._builder.add(event)

    def result(self) -> GenerateResult:
        """Return the response as it is stored, without later changes: more attempts, and the times of this call."""
        result = self._builder.result(self._metadata)
        attempts = tuple(result.metadata.attempts)
        metadata = replace(result.metadata, attempts=attempts, time_to_first_token=self._time_to_first_token)
        return replace(result, metadata=metadata)


def replay(result: GenerateResult) -> ResponseStream:
    """Return a stream of a complete response, part by part, without deltas."""
    events: list[Event] = [
        *(PartCompleted(index, part) for index, part in enumerate(result.message.parts)),
        *map(ArtifactExtracted, result.artifacts),
        result.finished,
    ]
    return ResponseStream.of(replace(result.metadata, from_cache=True), events)


async def _wait_for_first(first_ended: asyncio.Event, call: Call) -> None:
    try:
        with call.upstream_timer.measure():
            async with asyncio.timeout_at(call.deadline):
                await first_ended.wait()
    except TimeoutError as error:
        message = "Deadline exceeded while waiting for the first call with this idempotency key."
        raise DeadlineExceeded(message) from error


def _store_key(call: Call) -> bytes:
    caller = call.caller
    digest = hashlib.sha256(repr((caller.name, call.idempotency_key)).encode())
    for provider in sorted(caller.provider_keys):
        digest.update(f"\0{provider}\0{caller.provider_keys[provider]}".encode())
    return digest.digest()


def _fingerprint(call: Call) -> int:
    # Unordered, since load balancing may change the order of the targets.
    targets = frozenset((target.provider, target.model, target.sampling, target.reasoning) for target in call.targets)
    options = repr(sorted((target.provider, target.model, sorted(target.options.items())) for target in call.targets))
    prompt = (call.system_instruction, call.messages, call.tools, call.tool_choice, call.output_format)
    return hash((targets, options, prompt))


def _key_reused(key: str) -> InvalidRequest:
    description = "was already used for a different request"
    return InvalidRequest(
        f"idempotency_key {key!r} {description}.",
        solution="Use a new key for each request, and repeat a key only to retry the same request.",
        violations=(FieldViolation("idempotency_key", description),),
    )
