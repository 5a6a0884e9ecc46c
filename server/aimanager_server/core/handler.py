"""Handlers, layers and providers: one handler signature for unary and streaming calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from .request import Attempt, Call
from .stream import Cancelled, Failed, ResponseStream, StreamObserver, end_observers

In = TypeVar("In")
InContra = TypeVar("InContra", contravariant=True)

Handler = Callable[[In], Awaitable[ResponseStream]]
"""Handles a Call or an Attempt. Awaiting it returns once the first content has arrived, so an exception from the await
means that the caller has received nothing. The returned stream yields the rest."""

CallHandler = Handler[Call]
AttemptHandler = Handler[Attempt[Any]]

Clock = Callable[[], float]
"""Returns seconds of a monotonic clock."""


class Layer(Protocol[In]):
    """Wraps the next handler: it may wait, replace the request or the stream, or call `proceed` again."""

    def __call__(self, request: In, proceed: Handler[In], /) -> Awaitable[ResponseStream]:
        """Handle the request, usually by calling `proceed`."""
        ...


@runtime_checkable
class ObservingLayer(Protocol[InContra]):
    """A layer that only watches. Neighbors are joined into one frame."""

    def observe(self, request: InContra, /) -> StreamObserver | None:
        """Return the observer of one request, None for none. Called before `proceed`; raises GatewayError to reject."""
        ...


class Provider(Protocol):
    """The innermost handler: sends requests to one provider."""

    async def __call__(self, attempt: Attempt[Any], /) -> ResponseStream:
        """Send the attempt to `attempt.target`. Raises GatewayError if it fails before the first content."""
        ...

    async def probe(self) -> None:
        """Send a request that costs nothing, such as for the model list. Raises GatewayError if it fails."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class TokenCounter(Protocol):
    """A provider with an endpoint that counts tokens."""

    async def count_tokens(self, attempt: Attempt[Any]) -> int | None:
        """Return the input tokens of the call for `attempt.target`; None if not supported. Raises GatewayError."""
        ...


def compose(layers: Sequence[Layer[In] | ObservingLayer[In]], innermost: Handler[In]) -> Handler[In]:
    """Return one handler that passes a request through the layers in order, the first listed first, to `innermost`."""
    handler = innermost
    observing: list[ObservingLayer[In]] = []
    for layer in reversed(layers):
        if isinstance(layer, ObservingLayer):
            observing.insert(0, layer)
            continue
        handler = _bind(layer, _observed(observing, handler))
        observing = []
    return _observed(observing, handler)


def _bind(layer: Layer[In], proceed: Handler[In]) -> Handler[In]:
    def handle(request: In) -> Awaitable[ResponseStream]:
        return layer(request, proceed)

    return handle


def _observed(layers: Sequence[ObservingLayer[In]], proceed: Handler[In]) -> Handler[In]:
    if not layers:
        return proceed
    starts = tuple(layer.observe for layer in layers)

    async def handle(request: In) -> ResponseStream:
        observers: list[StreamObserver] = []
        try:
            for start in starts:
                observer = start(request)
                if observer is not None:
                    observers.insert(0, observer)
            stream = await proceed(request)
        except BaseException as error:
            end_observers(observers, Failed(error) if isinstance(error, Exception) else Cancelled())
            raise
        for observer in observers:
            stream.observed_by(observer)
        try:
            for observer in observers:
                observer.on_first_content(stream)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    return handle
