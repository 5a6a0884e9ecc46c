"""Counts what the response cache does."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class ResponseCacheMetrics:
    """Counters of the response cache, bound to their labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "aimanager_response_cache_requests",
            "Requests that used the response cache, by result: hit, coalesced, miss or refresh.", ["result"],
            registry=registry,
        )  # fmt: skip
        self.failures = Counter(
            "aimanager_response_cache_failures",
            "Failures of the response cache's store, by operation: read or write. The calls went on without it.",
            ["operation"], registry=registry,
        )  # fmt: skip
        self.hits = self.requests.labels("hit")
        self.coalesced = self.requests.labels("coalesced")
        self.misses = self.requests.labels("miss")
        self.refreshes = self.requests.labels("refresh")
        self.failed_reads = self.failures.labels("read")
        self.failed_writes = self.failures.labels("write")
        self.stores = Counter(
            "aimanager_response_cache_stores", "Responses stored in the response cache.", registry=registry
        )
        self.evictions = Counter(
            "aimanager_response_cache_evictions", "Responses evicted from the response cache for want of room.",
            registry=registry,
        )  # fmt: skip
