"""Compact a prompt in the provider's own form, which the Responses API and the Messages API have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.compaction import CompactedPrompt
from ...core.errors import CapabilityUnsupported
from ...core.provider_state import MIN_SECRET_LENGTH, fingerprint_of, marked
from ...core.request import Attempt
from ..http.provider import HttpProvider
from ..wires.anthropic import AnthropicWire
from ..wires.responses import ResponsesWire
from ..wires.wire import HttpRequest


class HttpCompactor:
    """Compact prompts with the API keys and connections of an HttpProvider."""

    def __init__(self, provider: HttpProvider) -> None:
        self._provider = provider

    def can_compact(self, model: str) -> bool:
        """Return whether the API of the model compacts prompts."""
        wire = self._provider.wire_of(model)
        return isinstance(wire, ResponsesWire | AnthropicWire) and wire.can_compact(model)

    async def compact(self, attempt: Attempt[Any]) -> CompactedPrompt:
        """Return the compacted prompt, marked with the key. Raises CapabilityUnsupported for a key without a mark."""
        wire = self._provider.wire_of(attempt.target.model)
        assert isinstance(wire, ResponsesWire | AnthropicWire)
        unary, fingerprint = replace(attempt, is_streamed=False), ""

        def encode(key: str) -> HttpRequest:
            nonlocal fingerprint
            fingerprint = fingerprint_of(key)
            if not fingerprint:
                raise CapabilityUnsupported(
                    f"Native compaction requires an API key of at least {MIN_SECRET_LENGTH} characters, because only "
                    "the key that obtained a compaction may use it."
                )
            return wire.encode_compaction(unary, key)

        compacted = await self._provider.exchange(unary, encode, wire.decode_compaction)
        return replace(compacted, provider_state=marked(compacted.provider_state, fingerprint))
