"""Stored responses: expiry, eviction and size."""

from __future__ import annotations

from array import array

from aimanager_server.config.resilience import IdempotencySettings
from aimanager_server.core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from aimanager_server.core.embedding import EmbedResult
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.storage.idempotency import Result
from aimanager_server.storage.memory_idempotency import (
    BYTES_PER_FLOAT,
    OVERHEAD_BYTES,
    MemoryIdempotency,
    estimate_bytes,
)
from tests.support.calls import make_call
from tests.support.clock import FakeClock

DIGEST = b"digest"


def result(*parts: Part) -> GenerateResult:
    metadata = ResponseMetadata("1", "mock/latest", "mock", "mock-large")
    return GenerateResult(metadata, Message(Role.ASSISTANT, parts), Finished(FinishReason.STOP))


def idempotency_store(
    clock: FakeClock | None = None, *, max_entries: int = 100, max_bytes: int = 10**6
) -> MemoryIdempotency:
    settings = IdempotencySettings(max_entries=max_entries, max_bytes=max_bytes, ttl_seconds=60)
    return MemoryIdempotency(settings, clock or FakeClock())


async def get(store: MemoryIdempotency, key: bytes, fingerprint: bytes = DIGEST) -> Result | None:
    """Return what a repeated call gets, and leave the key unclaimed."""
    stored = await store.claim(key, fingerprint, make_call())
    if stored is None:
        store.release(key)
    return stored


async def test_entry_expires_after_its_ttl() -> None:
    clock = FakeClock()
    store = idempotency_store(clock)
    await store.put(b"key", DIGEST, result(Text("hi")))
    stored = await get(store, b"key")

    clock.advance(60)

    assert stored == result(Text("hi"))
    assert await get(store, b"key") is None
    assert await get(store, b"other") is None


async def test_least_recently_used_entry_is_evicted_first() -> None:
    store = idempotency_store(max_entries=2)
    await store.put(b"a", DIGEST, result())
    await store.put(b"b", DIGEST, result())
    assert await get(store, b"a")

    await store.put(b"c", DIGEST, result())

    assert await get(store, b"b") is None
    assert await get(store, b"a")
    assert await get(store, b"c")


async def test_size_is_bounded() -> None:
    store = idempotency_store(max_bytes=3 * OVERHEAD_BYTES)

    for number in range(10):
        await store.put(bytes([number]), DIGEST, result())

    assert [await get(store, bytes([number])) is not None for number in range(10)].count(True) == 3


async def test_response_above_the_size_limit_is_not_stored_and_evicts_nothing() -> None:
    store = idempotency_store(max_bytes=4096)
    await store.put(b"small", DIGEST, result(Text("hi")))

    await store.put(b"large", DIGEST, result(Text("x" * 5000)))

    assert await get(store, b"large") is None
    assert await get(store, b"small")


def test_vectors_count_toward_the_size() -> None:
    usage = Usage(3, source=UsageSource.REPORTED)
    packed = EmbedResult("mock", "embedder", (array("f", [1.0] * 8), array("f", [1.0] * 8)), usage)
    unpacked = EmbedResult("mock", "embedder", ([1.0] * 8,), usage)

    assert estimate_bytes(packed) == OVERHEAD_BYTES + 2 * 8 * 4
    assert estimate_bytes(unpacked) == OVERHEAD_BYTES + 8 * BYTES_PER_FLOAT


def test_every_part_counts_toward_the_size() -> None:
    parts: tuple[Part, ...] = (
        Text("abcd", b"12"),
        Reasoning("abcd"),
        ToolCall("1", "f", "{}"),
        Attachment("image/png", data=b"12345"),
        Attachment("image/png", uri="https://example.com/a.png"),
        ToolResult("1", "f", "abcd"),
    )

    assert estimate_bytes(result(*parts)) == OVERHEAD_BYTES + 2 + 16 + 16 + 8 + 5 + 16
