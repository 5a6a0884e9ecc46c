"""A response in progress: batches of events, watched by observers, consumed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from .errors import GatewayError, ProviderProtocolError, StreamInterrupted
from .response import Event, Finished, GenerateResult, ReasoningProgress, ResponseBuilder, ResponseMetadata
from .usage import Usage
from .value import dataclass


@dataclass(frozen=True, slots=True)
class Completed:
    """The response is complete."""

    finished: Finished


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler or the stream raised an error."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The call was cancelled, or the stream closed before its end."""


Outcome = Completed | Failed | Cancelled


class EventSource(Protocol):
    """The source of the events of a response."""

    @property
    def buffered(self) -> Sequence[Event]:
        """Return events that have arrived but have not been read yet."""
        ...

    async def read(self) -> list[Event]:
        """Return the events received by one read, at least one; `Finished` last, once the connection is released.

        Raises GatewayError.
        """
        ...

    async def aclose(self) -> None:
        """Release the connection. Idempotent, also after the end."""
        ...

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported so far, None if the provider has not reported any."""
        ...


class StreamObserver:
    """Watches one response. Synchronous, so that nothing can happen between what it sees and what it does."""

    __slots__ = ()

    def on_first_content(self, stream: ResponseStream) -> None:
        """Called once the first content has arrived, before it is read. May change `stream.metadata`."""

    def on_events(self, events: list[Event]) -> None:
        """Called with each batch; may replace, insert or remove events in place. An error fails the stream."""

    def on_end(self, outcome: Outcome) -> None:
        """Called exactly once, innermost layer first; also if the handler raised before a stream existed."""


Finalizer = Callable[[list[Event]], Awaitable[None]]
"""Awaited with the last batch, before the reader sees it; may change it in place. An error fails the stream."""


class ResponseStream:
    """A response whose first content has arrived. Read it once to the end, or close it.

    A reader that stops early must close the stream. Observers and finalizers run in the order in which they were added,
    which is from the innermost layer outward. `waiting_since` is the time, on the event loop's clock, at which a
    pending read began to wait for the provider, None if no read is pending.
    """

    __slots__ = (
        "_completion", "_failure", "_finalizers", "_has_begun", "_observers", "_reader", "_source", "is_ended",
        "metadata", "waiting_since",
    )  # fmt: skip

    def __init__(self, metadata: ResponseMetadata, source: EventSource) -> None:
        self.metadata = metadata
        self.is_ended = False
        self.waiting_since: float | None = None
        self._source = source
        self._observers: list[StreamObserver] = []
        self._finalizers: list[Finalizer] = []
        self._failure: GatewayError | None = None
        self._reader: asyncio.Task[object] | None = None
        self._has_begun = False
        self._completion: list[Event] = []

    @classmethod
    def of(cls, metadata: ResponseMetadata, events: list[Event]) -> ResponseStream:
        """Return a stream of a response that has arrived completely; it holds no connection."""
        return cls(metadata, _Received(events))

    @classmethod
    def from_iterator(
        cls,
        metadata: ResponseMetadata,
        events: AsyncIterator[Event],
        close: Callable[[], Awaitable[None]],
        usage_so_far: Callable[[], Usage | None] = lambda: None,
    ) -> ResponseStream:
        """Return a stream of the events of an iterator, one per batch.

        `close` must release the upstream connection even if nothing was read, which closing an async generator that
        never started would not do.
        """
        return cls(metadata, _Iterated(events, close, usage_so_far))

    def observed_by(self, observer: StreamObserver) -> ResponseStream:
        """Add an observer; return this stream."""
        self._observers.append(observer)
        return self

    def finalized_by(self, commit: Finalizer) -> ResponseStream:
        """Await `commit` after the completion event has arrived and before the reader sees it; return this stream."""
        self._finalizers.append(commit)
        return self

    @property
    def buffered(self) -> Sequence[Event]:
        """Return events that have arrived but have not been read yet."""
        return self._source.buffered

    @property
    def has_visible_content(self) -> bool:
        """Whether content other than hidden reasoning has arrived and has not been read yet."""
        return any(type(event) is not ReasoningProgress for event in self.buffered)

    def usage_so_far(self) -> Usage | None:
        """Return the usage reported so far, None if the provider has not reported any."""
        return self._source.usage_so_far()

    async def read(self) -> list[Event]:
        """Return the next batch; empty after the end. Raises GatewayError."""
        if self.is_ended:
            return []
        try:
            events = self._completion
            while not events:
                events = await self._pull()
                if not events:
                    raise self._premature_end()
                for observer in self._observers:
                    observer.on_events(events)
                self._has_begun = True
            if type(events[-1]) is not Finished:
                return events
            if self._finalizers and len(events) > 1:
                # The reader sees all that precedes the end, even if a finalizer fails.
                self._completion = [events.pop()]
                return events
            for commit in self._finalizers:
                await commit(events)
        except GeneratorExit:
            raise  # the event loop has dropped this read and would not await anything
        except BaseException as error:
            await self._close(_outcome_of(error))
            raise
        self._end(Completed(events[-1]))
        return events

    def fail(self, error: GatewayError) -> None:
        """End the stream with this error: a pending read raises it, otherwise the next one does.

        A stream whose completion event has arrived can no longer fail.
        """
        if self.is_ended or self._failure is not None:
            return
        self._failure = error
        if self._reader is not None:
            self._reader.cancel()

    async def aclose(self) -> None:
        """Close the stream and release its connection. Idempotent, also after the end."""
        if not self.is_ended:
            await self._close(Cancelled())

    async def result(self) -> GenerateResult:
        """Read to the end and return the complete response. Always closes the stream. Raises GatewayError."""
        builder = ResponseBuilder()
        try:
            while events := await self.read():
                for event in events:
                    builder.add(event)
        finally:
            await self.aclose()
        return builder.result(self.metadata)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while events := await self.read():
            for event in events:
                yield event

    async def _pull(self) -> list[Event]:
        if self._failure is not None:
            raise self._failure
        task = self._reader = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        self.waiting_since = task.get_loop().time()
        try:
            return await self._source.read()
        except asyncio.CancelledError:
            # Cancelled by `fail` alone: the task itself goes on.
            if self._failure is not None and task.uncancel() <= cancelling:
                raise self._failure from self._failure.__cause__
            raise
        finally:
            self._reader = self.waiting_since = None

    def _premature_end(self) -> GatewayError:
        cause = ProviderProtocolError("The stream ended without a completion event.")
        if not self._has_begun:
            return cause
        message = f"Stream interrupted after the first content: {cause.message}"
        error = StreamInterrupted(message, provider=self.metadata.provider, model=self.metadata.model)
        error.__cause__ = cause
        return error

    async def _close(self, outcome: Outcome) -> None:
        try:
            await self._source.aclose()
        finally:
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        if self.is_ended:
            return
        self.is_ended = True
        observers, self._observers = self._observers, []  # breaks the reference cycle: they refer to this stream
        end_observers(observers, outcome)


def end_observers(observers: Iterable[StreamObserver], outcome: Outcome) -> None:
    """Call `on_end` of every observer, also if one raises; then raise the last error, in the context of the others."""
    remaining = iter(observers)
    try:
        for observer in remaining:
            observer.on_end(outcome)
    except BaseException:
        end_observers(remaining, outcome)
        raise


class OnEnd(StreamObserver):
    """Call a function when the stream ends, whatever the outcome."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def on_end(self, outcome: Outcome) -> None:
        """Call the function."""
        self._callback()


class _Received:
    __slots__ = ("_usage", "buffered")

    def __init__(self, events: list[Event]) -> None:
        self.buffered = events
        last = events[-1] if events else None
        self._usage = last.usage if isinstance(last, Finished) else None

    async def read(self) -> list[Event]:
        events, self.buffered = self.buffered, []
        return events

    async def aclose(self) -> None:
        self.buffered = []

    def usage_so_far(self) -> Usage | None:
        return self._usage


class _Iterated:
    __slots__ = ("_close", "_events", "usage_so_far")

    buffered: Sequence[Event] = ()

    def __init__(
        self,
        events: AsyncIterator[Event],
        close: Callable[[], Awaitable[None]],
        usage_so_far: Callable[[], Usage | None],
    ) -> None:
        self._events = events
        self._close = close
        self.usage_so_far = usage_so_far

    async def read(self) -> list[Event]:
        event = await anext(self._events, None)
        if type(event) is Finished:
            await self.aclose()
        return [] if event is None else [event]

    async def aclose(self) -> None:
        try:
            if isinstance(self._events, AsyncGenerator):
                await self._events.aclose()
        finally:
            await self._close()


def _outcome_of(error: BaseException) -> Outcome:
    return Failed(error) if isinstance(error, Exception) else Cancelled()
