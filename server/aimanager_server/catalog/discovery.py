"""Refresh the catalog from the providers' own model lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..core.coalescing import Coalescer
from ..core.errors import GatewayError, MissingCredentials
from ..core.handler import Clock
from .catalog import Catalog
from .model import Model

REFRESH_INTERVAL_SECONDS = 10.0
"""Shortest time between two requests for the model list of a provider."""


class ModelLister(Protocol):
    """Lists the models of one provider: its HTTP API or a plug-in."""

    async def models(self) -> Sequence[Model]:
        """Return the provider's models in its order. Raises GatewayError."""
        ...


class ModelDiscovery:
    """Update the catalog from `listers`, by provider.

    `record_outcome` receives the provider and the error, None on success: a model list also shows that the provider is
    healthy. Providers without credentials are skipped. Refreshes of the same provider share one request in
    REFRESH_INTERVAL_SECONDS.
    """

    def __init__(
        self,
        listers: Mapping[str, ModelLister],
        catalog: Catalog,
        record_outcome: Callable[[str, GatewayError | None], None],
        clock: Clock,
        logger: Any,
    ) -> None:
        self._listers = listers
        self._catalog = catalog
        self._record_outcome = record_outcome
        self._refreshes: Coalescer[GatewayError | None] = Coalescer(REFRESH_INTERVAL_SECONDS, clock)
        self._log = logger

    async def __call__(self, provider: str = "") -> None:
        """Refresh one provider and raise its GatewayError, or refresh all; a provider that fails keeps its old list."""
        if provider:
            if provider in self._listers:
                await self._refresh(provider)
            return
        await asyncio.gather(*map(self.try_refresh, self._listers))

    async def try_refresh(self, provider: str) -> None:
        """Refresh one provider; a failure is only logged and recorded."""
        try:
            await self._refresh(provider)
        except MissingCredentials:
            pass  # Health reports the provider as not configured.
        except GatewayError as error:
            self._log.warning("model_list.failed", provider=provider, reason=error.reason)

    async def _refresh(self, provider: str) -> None:
        failure = await self._refreshes.run(provider, lambda: self._fetch(provider))
        if failure is not None:
            raise failure.replace()

    async def _fetch(self, provider: str) -> GatewayError | None:
        try:
            models = await self._listers[provider].models()
        except MissingCredentials as error:
            return error
        except GatewayError as error:
            self._record_outcome(provider, error)
            return error
        self._record_outcome(provider, None)
        self._catalog.update_listed(provider, models)
        self._log.info("model_list.updated", provider=provider, count=len(models))
        return None
