"""Providers whose state a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from aimanager_server.core.errors import ProviderNotFound
from aimanager_server.telemetry.provider_stats import Report, Status


class Healthy:
    """Providers that are well, until `reports` is changed; a watch tells each that is put into `changes`."""

    def __init__(self, *names: str) -> None:
        self.reports = {name: Report(name, Status.HEALTHY) for name in names}
        self.changes: asyncio.Queue[Report] = asyncio.Queue()
        self.probed: list[str] = []
        self.left = asyncio.Event()

    def providers(self) -> tuple[str, ...]:
        """Names."""
        return tuple(self.reports)

    def report(self, provider: str) -> Report:
        """State."""
        return self.reports[provider]

    async def probe(self, provider: str) -> Report:
        """State, noting the question."""
        self.probed.append(provider)
        return self.reports[provider]

    async def watch(self, providers: Iterable[str]) -> AsyncIterator[Report]:
        """States now, then changes."""
        try:
            for name in providers:
                yield self.reports[name]
            while True:
                yield await self.changes.get()
        finally:
            self.left.set()


class Strict(Healthy):
    """Knows no other provider."""

    def report(self, provider: str) -> Report:
        """State, or a fault."""
        if provider not in self.reports:
            raise ProviderNotFound(f"There is no provider {provider!r}.")
        return super().report(provider)
