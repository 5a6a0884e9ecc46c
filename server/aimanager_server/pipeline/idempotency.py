"""Answers a repeated idempotency key with the first answer, so that a client's retry is never billed twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

from ..core.errors import DeadlineExceeded, FieldViolation, InvalidRequest
from ..core.handler import Handler
from ..core.request import Call
from ..core.response import (
    ArtifactExtracted,
    Event,
    Finished,
    GenerateResult,
    PartCompleted,
    ResponseBuilder,
    ResponseStream,
)
from ..resilience.idempotency_store import Answers


class Repeat:
    """Remembers whole answers by caller and key; a repeat during the first call waits for it.

    Failures are not remembered: a repeat after one asks again.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._running: dict[bytes, asyncio.Event] = {}

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """The first answer to the key, or a new one."""
        if not call.idempotency_key:
            return await proceed(call)
        key, fingerprint = _key(call), _fingerprint(call)
        while (running := self._running.get(key)) is not None:
            await _ended(running, call)
        kept = self._answers.get(key)
        if kept is None:
            return await self._first(call, proceed, key, fingerprint)
        if kept[0] != fingerprint:
            raise _reused(call.idempotency_key)
        return reply_of(kept[1])

    async def _first(self, call: Call, proceed: Handler, key: bytes, fingerprint: int) -> ResponseStream:
        done = self._running[key] = asyncio.Event()

        def release() -> None:
            if self._running.get(key) is done:
                del self._running[key]
                done.set()

        try:
            reply = await proceed(call)
        except BaseException:
            release()
            raise

        async def kept(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
            collected = ResponseBuilder()
            try:
                async for event in events:
                    collected.add(event)
                    if isinstance(event, Finished):
                        self._answers.put(key, fingerprint, collected.result(reply.metadata))
                        release()
                    yield event
            finally:
                release()

        async def close() -> None:
            release()
            await reply.aclose()

        return ResponseStream(reply.metadata, kept(aiter(reply)), close, reply.usage_so_far)


def reply_of(completion: GenerateResult) -> ResponseStream:
    """A Reply that says a whole answer again, part by part; it holds no connection."""

    async def events() -> AsyncIterator[Event]:
        for index, part in enumerate(completion.message.parts):
            yield PartCompleted(index, part)
        for artifact in completion.artifacts:
            yield ArtifactExtracted(artifact)
        yield completion.finished

    async def close() -> None: ...

    return ResponseStream(replace(completion.metadata, from_cache=True), events(), close)


async def _ended(running: asyncio.Event, call: Call) -> None:
    try:
        with call.upstream_timer.measure():
            async with asyncio.timeout_at(call.deadline):
                await running.wait()
    except TimeoutError as error:
        raise DeadlineExceeded("The first call with this idempotency key did not end in time.") from error


def _key(call: Call) -> bytes:
    caller = call.caller
    digest = hashlib.sha256(repr((caller.name, call.idempotency_key)).encode())
    for provider in sorted(caller.provider_keys):
        digest.update(f"\0{provider}\0{caller.provider_keys[provider]}".encode())
    return digest.digest()


def _fingerprint(call: Call) -> int:
    # Without their order, which a route may have drawn.
    targets = frozenset((target.provider, target.model, target.sampling, target.reasoning) for target in call.targets)
    options = repr(sorted((target.provider, target.model, sorted(target.options.items())) for target in call.targets))
    asked = (call.system_instruction, call.messages, call.tools, call.tool_choice, call.output_format)
    return hash((targets, options, asked))


def _reused(key: str) -> InvalidRequest:
    return InvalidRequest(
        f"The idempotency key {key!r} was used for another question.",
        solution="Use a new key for every question, and the same key only to repeat one.",
        violations=(FieldViolation("idempotency_key", "was used for another question"),),
    )
