"""Hands the call to its provider."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.handler import Provider
from ..core.request import Call
from ..core.response import ResponseStream


class Dispatch:
    """The innermost handler."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    async def __call__(self, call: Call) -> ResponseStream:
        """Ask the target's provider."""
        return await self._providers[call.target.provider](call)
