"""Metrics of extensions, which add less to a call than a histogram would."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector

LABELS = ("extension", "hook")


class HookTally:
    """How often one method of an extension was called, and how long calls waited for it, in seconds."""

    __slots__ = ("calls", "exported_calls", "exported_seconds", "seconds")

    def __init__(self) -> None:
        self.calls = self.exported_calls = 0
        self.seconds = self.exported_seconds = 0.0


class ExtensionMetrics(Collector):
    """Counts on the event loop, and exports on each scrape, in the scraper's thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter("aimanager_extension_calls", "Calls of methods of extensions.", LABELS, registry=None)
        self.seconds = Counter(
            "aimanager_extension_seconds", "Time that calls waited for methods of extensions.", LABELS, registry=None
        )
        self.failures = Counter(
            "aimanager_extension_failures", "Calls for which an extension raised, took too long or returned nonsense.",
            LABELS, registry=registry,
        )  # fmt: skip
        self._tallies: dict[tuple[str, str], HookTally] = {}
        registry.register(self)

    def tally(self, extension: str, hook: str) -> HookTally:
        """Return the tally of a method, the same one after a change of the configuration."""
        return self._tallies.setdefault((extension, hook), HookTally())

    def collect(self) -> Iterable[Metric]:
        """Return the current values."""
        for labels, tally in tuple(self._tallies.items()):
            calls, seconds = tally.calls, tally.seconds
            self.calls.labels(*labels).inc(calls - tally.exported_calls)
            self.seconds.labels(*labels).inc(seconds - tally.exported_seconds)
            tally.exported_calls, tally.exported_seconds = calls, seconds
        return (*self.calls.collect(), *self.seconds.collect())
