"""Lets work that is no answer, such as making vectors, pass through the layers that answers pass through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from ..core.handler import Layer, compose
from ..core.request import Call
from ..core.response import Event, Finished, FinishReason, ResponseMetadata, ResponseStream
from ..core.usage import Usage

Result = TypeVar("Result")


async def behind(
    layers: Sequence[Layer],
    call: Call,
    work: Callable[[Call], Awaitable[Result]],
    account: Callable[[Result], Finished] = lambda result: Finished(FinishReason.STOP),
) -> tuple[Result, Finished]:
    """What the work gives, and its account as the layers left it; they may have the work done again.

    The work gets the call as the layers left it. To the layers it is an answer without content. Raises what they raise.
    """
    results: list[Result] = []

    async def ask(call: Call) -> ResponseStream:
        results.append(await work(call))
        head = ResponseMetadata(call.id, call.requested_model, call.target.provider, call.target.model)
        return ResponseStream(head, _one(account(results[-1])), _nothing)

    reply = await compose(layers, ask)(call)
    finished = (await reply.result()).finished
    return results[-1], finished


def done(usage: Usage) -> Finished:
    """The account of work that took so much."""
    return Finished(FinishReason.STOP, "", usage)


async def _one(event: Event) -> AsyncIterator[Event]:
    yield event


async def _nothing() -> None: ...
