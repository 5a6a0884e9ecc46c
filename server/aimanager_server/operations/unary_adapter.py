"""Run a unary operation, such as an embedding request, through layers that handle response streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..core.handler import CallHandler, Handler
from ..core.request import Attempt, Call
from ..core.response import CacheStatus, Finished, FinishReason, ResponseMetadata
from ..core.stream import ResponseStream
from ..core.usage import Usage

Request = TypeVar("Request", Call, Attempt[Any])
Result = TypeVar("Result")

Layers = Callable[[Handler[Request]], CallHandler]
"""Wraps a handler in layers."""


async def run_through(
    layers: Layers[Request],
    call: Call,
    operation: Callable[[Request], Awaitable[Result]],
    to_finished: Callable[[Result], Finished] = lambda result: Finished(FinishReason.STOP),
    cache_status: Callable[[Result], CacheStatus] = lambda result: CacheStatus.MISS,
) -> tuple[Result, Finished]:
    """Return the operation's last result, and its completion event as the layers changed it.

    The layers see a response without content. They may run the operation more than once. Raises what they raise.
    """
    results: list[Result] = []

    async def handle(request: Request) -> ResponseStream:
        result = await operation(request)
        results.append(result)
        metadata = ResponseMetadata(request.id, request.requested_model, *request.target.key, call.attempts.records)
        metadata.cache_status = cache_status(result)
        return ResponseStream.of(metadata, [to_finished(result)])

    stream = await layers(handle)(call)
    return results[-1], (await stream.result()).finished


def finished_with(usage: Usage) -> Finished:
    """Return the completion event of an operation with this usage."""
    return Finished(FinishReason.STOP, "", usage)
