"""Send an attempt to its provider."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from ..core.errors import CapabilityUnsupported
from ..core.handler import Provider
from ..core.request import Attempt
from ..core.stream import ResponseStream


class Dispatch:
    """The innermost handler: forward an attempt to the provider of its target.

    If the output format can be requested in several forms, the first one that the provider supports is sent; it rejects
    an unsupported form before it sends anything.
    """

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def __call__(self, attempt: Attempt[Any]) -> Awaitable[ResponseStream]:
        """Return the provider's response. Raises GatewayError."""
        provider = self._providers[attempt.target.provider]
        return _send_first_supported(attempt, provider) if attempt.forms else provider(attempt)


async def _send_first_supported(attempt: Attempt[Any], provider: Provider) -> ResponseStream:
    *preferred, last = attempt.forms
    for form in preferred:
        attempt.sent = form
        try:
            return await provider(form)
        except CapabilityUnsupported as error:
            if not any(violation.field.startswith("output_format") for violation in error.violations):
                raise
    attempt.sent = last
    return await provider(last)
