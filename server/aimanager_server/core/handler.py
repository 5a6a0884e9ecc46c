"""The seam everything is joined at: one handler shape for unary and streaming."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from .request import Call
from .response import ResponseStream

Handler = Callable[[Call], Awaitable[ResponseStream]]
"""Answers a call. Awaiting it does everything up to the first content event, so an exception from the await means that
the caller has seen nothing; iterating the Reply reads the rest."""

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""


class Layer(Protocol):
    """Stands between a caller and the next handler."""

    async def __call__(self, call: Call, proceed: Handler) -> ResponseStream:
        """Answer, usually by way of `proceed`."""
        ...


class Provider(Protocol):
    """The innermost handler: it asks one provider."""

    async def __call__(self, call: Call) -> ResponseStream:
        """Ask `call.target`. Raises GatewayError where the provider fails before the first content."""
        ...

    async def probe(self) -> None:
        """Ask the provider for something free, such as its model list. Raises GatewayError where it fails."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class TokenCounter(Protocol):
    """A provider that counts the tokens of a question without answering it."""

    async def count_tokens(self, call: Call) -> int | None:
        """Tokens of the whole input, as `call.target`'s provider counts them; None where it cannot. Raises GatewayError."""
        ...


def compose(layers: Sequence[Layer], innermost: Handler) -> Handler:
    """One handler of many layers; the first listed is the first to see the call."""
    handler = innermost
    for layer in reversed(layers):
        handler = _bind(layer, handler)
    return handler


def _bind(layer: Layer, proceed: Handler) -> Handler:
    async def handle(call: Call) -> ResponseStream:
        return await layer(call, proceed)

    return handle
