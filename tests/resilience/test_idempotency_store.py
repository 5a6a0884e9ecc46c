"""Stored responses: expiry, eviction and size."""

from __future__ import annotations

from aimanager_server.config.resilience import IdempotencySettings
from aimanager_server.core.content import Attachment, Message, Part, Reasoning, Role, Text, ToolCall, ToolResult
from aimanager_server.core.response import Finished, FinishReason, GenerateResult, ResponseMetadata
from aimanager_server.resilience.idempotency_store import OVERHEAD_BYTES, IdempotencyStore, estimate_bytes
from tests.support.clock import FakeClock


def result(*parts: Part) -> GenerateResult:
    metadata = ResponseMetadata("1", "mock/latest", "mock", "mock-large")
    return GenerateResult(metadata, Message(Role.ASSISTANT, parts), Finished(FinishReason.STOP))


def idempotency_store(
    clock: FakeClock | None = None, *, max_entries: int = 100, max_bytes: int = 10**6
) -> IdempotencyStore:
    settings = IdempotencySettings(max_entries=max_entries, max_bytes=max_bytes, ttl_seconds=60)
    return IdempotencyStore(settings, clock or FakeClock())


def test_entry_expires_after_its_ttl() -> None:
    clock = FakeClock()
    store = idempotency_store(clock)
    store.put(b"key", 7, result(Text("hi")))
    stored = store.get(b"key")

    clock.advance(60)

    assert stored == (7, result(Text("hi")))
    assert store.get(b"key") is None
    assert store.get(b"other") is None


def test_least_recently_used_entry_is_evicted_first() -> None:
    store = idempotency_store(max_entries=2)
    store.put(b"a", 1, result())
    store.put(b"b", 2, result())
    assert store.get(b"a")

    store.put(b"c", 3, result())

    assert store.get(b"b") is None
    assert store.get(b"a")
    assert store.get(b"c")


def test_size_is_bounded() -> None:
    store = idempotency_store(max_bytes=3 * OVERHEAD_BYTES)

    for number in range(10):
        store.put(bytes([number]), number, result())

    assert sum(store.get(bytes([number])) is not None for number in range(10)) == 3


def test_response_above_the_size_limit_is_not_stored_and_evicts_nothing() -> None:
    store = idempotency_store(max_bytes=4096)
    store.put(b"small", 1, result(Text("hi")))

    store.put(b"large", 2, result(Text("x" * 5000)))

    assert store.get(b"large") is None
    assert store.get(b"small")


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
