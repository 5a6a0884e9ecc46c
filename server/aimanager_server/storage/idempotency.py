"""The protocol of a store of results by idempotency key, which every implementation fulfils."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Protocol

from ..config.resilience import IdempotencySettings
from ..core.embedding import EmbedResult
from ..core.errors import DeadlineExceeded, FieldViolation, InvalidRequest
from ..core.request import Call
from ..core.response import GenerateResult

Result = GenerateResult | EmbedResult


class IdempotencyStore(Protocol):
    """Keeps complete results by key, and makes repeated calls wait for the first.

    A call with a key claims it, and stores its result and releases the key when it ends. Errors are not stored: a
    retry after an error is a new call.
    """

    @property
    def entries(self) -> int:
        """Number of results in memory, and of calls in flight that claimed a key."""
        ...

    @property
    def size(self) -> int:
        """Estimated bytes of the results in memory."""
        ...

    def reconfigure(self, settings: IdempotencySettings) -> None:
        """Change the limits. Call this for every change of the configuration."""
        ...

    async def claim(self, key: bytes, fingerprint: bytes, call: Call) -> Result | None:
        """Return the stored result of the key, after waiting for a first call in flight; None if this is the first.

        After None, the caller must `release` the key. Raises InvalidRequest if the key was used for another request,
        DeadlineExceeded and StorageUnavailable.
        """
        ...

    async def put(self, key: bytes, fingerprint: bytes, result: Result) -> None:
        """Store the result of a claimed key. Raises StorageUnavailable."""
        ...

    def release(self, key: bytes) -> None:
        """Let calls with the same key proceed; they find the result if it was stored."""
        ...

    async def forget(self, conversation_id: str) -> None:
        """Drop the results that were added to a conversation. Raises StorageUnavailable."""
        ...

    async def delete_expired(self) -> None:
        """Delete what has expired, if it takes room until then. Raises StorageUnavailable."""
        ...


def store_key(operation: str, call: Call) -> bytes:
    """Return the key under which a call is stored: its idempotency key, for one operation and caller only."""
    caller = call.caller
    digest = hashlib.sha256(repr((operation, caller.name, call.idempotency_key)).encode())
    for provider in sorted(caller.provider_keys):
        digest.update(f"\0{provider}\0{caller.provider_keys[provider]}".encode())
    return digest.digest()


def conversation_of(result: Result) -> str:
    """Return the id of the conversation that a result was added to, empty without one."""
    return result.metadata.conversation_id if isinstance(result, GenerateResult) else ""


async def wait_for_first(first_ended: asyncio.Event, call: Call) -> None:
    """Wait for the first call with a key. Raises DeadlineExceeded."""
    try:
        with call.upstream_timer.measure():
            async with asyncio.timeout_at(call.deadline):
                await first_ended.wait()
    except TimeoutError as error:
        message = "Deadline exceeded while waiting for the first call with this idempotency key."
        raise DeadlineExceeded(message) from error


def key_reused(key: str) -> InvalidRequest:
    """Return the error of a key that was used for another request."""
    description = "was already used for a different request"
    return InvalidRequest(
        f"idempotency_key {key!r} {description}.",
        solution="Use a new key for each request, and repeat a key only to retry the same request.",
        violations=(FieldViolation("idempotency_key", description),),
    )
