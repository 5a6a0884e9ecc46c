"""Provider health that a test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from aimanager_server.core.errors import ProviderNotFound
from aimanager_server.resilience.provider_health import ProviderHealth, ProviderReport, ProviderStatus


class FakeProviderHealth(ProviderHealth):
    """Reports every provider as healthy until `reports` is changed; a watch sends what is put into `changes`."""

    def __init__(self, *providers: str) -> None:
        self.reports = {name: ProviderReport(name, ProviderStatus.HEALTHY) for name in providers}
        self.changes: asyncio.Queue[ProviderReport] = asyncio.Queue()
        self.probed: list[str] = []
        self.watch_closed = asyncio.Event()

    def providers(self) -> tuple[str, ...]:
        return tuple(self.reports)

    def report(self, provider: str) -> ProviderReport:
        if provider not in self.reports:
            raise ProviderNotFound(f"Provider {provider!r} not found.")
        return self.reports[provider]

    async def probe(self, provider: str) -> ProviderReport:
        self.probed.append(provider)
        return self.report(provider)

    async def watch(self, providers: Iterable[str]) -> AsyncIterator[ProviderReport]:
        try:
            for name in providers or self.reports:
                yield self.reports[name]
            while True:
                yield await self.changes.get()
        finally:
            self.watch_closed.set()
