"""Asks the providers which models they have, so that the catalogue knows those that came since it was written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from ..core.errors import GatewayError, MissingCredentials
from .catalog import Catalogue, Lister


class Discover:
    """Has the catalogue learn what `listers`, by provider, list.

    `note` is told how each asking ended: a list is as good a sign of life as any. Who has no key is passed over.
    """

    def __init__(
        self, listers: Mapping[str, Lister], catalogue: Catalogue, note: Callable[[str, GatewayError | None], None]
    ) -> None:
        self._listers = listers
        self._catalogue = catalogue
        self._note = note
        self._log = structlog.get_logger()

    async def __call__(self, provider: str = "") -> None:
        """Ask one provider, and raise its GatewayError; or all of them, when one that fails keeps what was known of it."""
        if provider:
            if provider in self._listers:
                await self._ask(provider)
            return
        await asyncio.gather(*map(self.try_one, self._listers))

    async def try_one(self, provider: str) -> None:
        """Ask one provider; where it fails, only the log and its health say so."""
        try:
            await self._ask(provider)
        except MissingCredentials:
            pass  # health says that it is not configured
        except GatewayError as fault:
            self._log.warning("models.not_listed", provider=provider, reason=fault.reason)

    async def _ask(self, provider: str) -> None:
        try:
            models = await self._listers[provider].models()
        except MissingCredentials:
            raise
        except GatewayError as fault:
            self._note(provider, fault)
            raise
        self._note(provider, None)
        self._catalogue.learn(provider, models)
        self._log.info("models.listed", provider=provider, count=len(models))
