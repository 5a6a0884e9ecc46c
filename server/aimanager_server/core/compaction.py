"""Compaction by a provider: an opaque, shorter form of a prompt, which only the provider can read."""

from __future__ import annotations

from typing import Any, Protocol

from .request import Attempt
from .usage import Usage
from .value import dataclass


@dataclass(frozen=True, slots=True)
class CompactedPrompt:
    """The provider's form of a prompt, marked with the API key that obtained it, and the usage of the request."""

    provider_state: bytes
    usage: Usage


class Compactor(Protocol):
    """A provider with an endpoint that compacts prompts."""

    def can_compact(self, model: str) -> bool:
        """Return whether the API of the model has such an endpoint."""
        ...

    async def compact(self, attempt: Attempt[Any]) -> CompactedPrompt:
        """Compact the messages of an attempt. Raises GatewayError."""
        ...
