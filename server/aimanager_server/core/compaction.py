"""Compaction by a provider: an opaque, shorter form of a prompt, which only the provider can read."""

from __future__ import annotations

from typing import Any, Protocol

from .errors import ProviderProtocolError
from .request import Attempt
from .usage import Usage
from .value import dataclass

MAX_COMPACTION_BYTES = 256 * 1024
"""A conversation is read with its compaction. Larger ones, such as those with images, are not kept."""


@dataclass(frozen=True, slots=True)
class CompactedPrompt:
    """The provider's form of a prompt, marked with the API key that obtained it, and the usage of the request."""

    provider_state: bytes
    usage: Usage


def check_compaction_size(state: bytes, usage: Usage) -> None:
    """Raise ProviderProtocolError, with the usage, for state that is too large to be kept."""
    if len(state) > MAX_COMPACTION_BYTES:
        raise ProviderProtocolError(
            f"The compacted prompt has {len(state)} bytes; at most {MAX_COMPACTION_BYTES} are kept.", usage=usage
        )


class Compactor(Protocol):
    """A provider whose API may compact prompts."""

    def can_compact(self, model: str) -> bool:
        """Return whether the API of the model does."""
        ...

    async def compact(self, attempt: Attempt[Any]) -> CompactedPrompt:
        """Compact the messages of an attempt. Raises GatewayError."""
        ...
