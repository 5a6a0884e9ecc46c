"""ModelService.CountTokens: resolves a request as Generate would, then only counts its tokens."""

from __future__ import annotations

from aimanager.v1 import model_pb2

from ...config.settings import Limits
from ...core.handler import Clock
from ...operations.count_tokens import CountTokens
from ...routing.resolver import Resolver
from ..context import Rpc
from ..convert.requests import parse_generate_request
from ..convert.responses import USAGE_SOURCES, clamp_int32
from ..deadlines import CallDeadline


class CountTokensMethod:
    """Implement CountTokens. `timeout_seconds` limits every call; deadlines are on `clock`."""

    def __init__(
        self, count_tokens: CountTokens, resolver: Resolver, limits: Limits, timeout_seconds: float, clock: Clock
    ) -> None:
        self._count_tokens = count_tokens
        self._resolver = resolver
        self._limits = limits
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    async def __call__(self, request: model_pb2.CountTokensRequest, rpc: Rpc) -> model_pb2.CountTokensResponse:
        """Count the input tokens. Raises the errors that Generate would raise before it calls the provider."""
        async with CallDeadline(rpc, self._timeout_seconds, self._clock) as deadline:
            rpc.field_prefix = "request."
            params = parse_generate_request(request.request, self._limits)
            call = self._resolver.resolve(
                params,
                rpc.caller,
                id=rpc.id,
                deadline=deadline,
                streaming=False,
                traceparent=rpc.traceparent,
                hops=rpc.hops,
            )
            rpc.attempts = call.attempts
            count = await self._count_tokens(call)
        return model_pb2.CountTokensResponse(
            input_tokens=clamp_int32(count.input_tokens),
            source=USAGE_SOURCES[count.source],
            provider=count.provider,
            model=count.model,
        )
