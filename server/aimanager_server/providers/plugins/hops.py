"""Send the list of gateways that a call has passed with the HTTP requests of a plug-in."""

from __future__ import annotations

from contextvars import ContextVar

import httpx

from ...core.request import HOPS_HEADER

current_hops: ContextVar[str] = ContextVar("current_hops", default="")
"""`Attempt.hops` of the attempt that the current task of a plug-in handles."""


class HopsTransport(httpx.AsyncBaseTransport):
    """Add HOPS_HEADER to the requests that belong to an attempt."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request through the other transport."""
        hops = current_hops.get()
        if hops:
            request.headers.setdefault(HOPS_HEADER, hops)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()
