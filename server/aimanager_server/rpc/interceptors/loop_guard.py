"""Reject calls that come back to a gateway they have passed, or that have passed too many."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import Any

from ...core.errors import InvalidRequest, LoopDetected
from ...core.request import HOPS_HEADER
from ..context import Rpc
from ..interceptor_chain import CallerInterceptor, RpcHandler

HOPS_KEY = HOPS_HEADER.lower()

MAX_HOPS = 8
"""Gateways that a call may pass."""

HOP = re.compile(r"[A-Za-z0-9._-]{1,64}")


class LoopGuard(CallerInterceptor):
    """Extend the list of the gateways that a call has passed by this one; `instance_id` must be unique.

    The list arrives as metadata and goes to providers as a header. A proxy in between must pass it on.
    """

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id

    def intercept(self, rpc: Rpc, proceed: RpcHandler) -> Awaitable[Any]:
        """Set `rpc.hops`. Raises LoopDetected, and InvalidRequest for an invalid list."""
        values = rpc.metadata_values(HOPS_KEY)
        rpc.hops = self._extended(values) if values else self._instance_id
        return proceed(rpc)

    def _extended(self, values: Sequence[str]) -> str:
        hops = [hop.strip() for hop in ",".join(values)[: MAX_HOPS * 66].split(",")]
        if self._instance_id in hops:
            raise LoopDetected(
                "The call came back to this gateway: the base_url of a provider leads to it.",
                metadata={"hops": str(len(hops))},
            )
        if len(hops) >= MAX_HOPS:
            raise LoopDetected(
                f"The call has passed {len(hops)} gateways, at most {MAX_HOPS} including this one.",
                metadata={"hops": str(len(hops))},
            )
        if not all(map(HOP.fullmatch, hops)):
            raise InvalidRequest(f"Metadata {HOPS_KEY} must be a list of gateway ids, such as 'a1,b2'.")
        return f"{','.join(hops)},{self._instance_id}"
