"""A streamed response: read as pieces, as text or as events, and whole at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Generic, Protocol, Self

import grpc
import grpc.aio

from ._convert.requests import StreamOperation
from ._convert.stream_state import StreamState
from ._transport.channel import AsyncChannel, SyncChannel
from ._transport.errors import translate_errors
from ._transport.retry import RetryState, retry_call, retry_call_async
from .errors import AIError
from .types.response import AIResponse, Parsed
from .types.stream_events import Event
from .v1.generation_pb2 import StreamGenerateRequest, StreamGenerateResponse


class StreamCall(Protocol):
    """A stream in flight: an iterator that can be cancelled."""

    def __next__(self) -> StreamGenerateResponse:
        """Return the next message."""

    def cancel(self) -> bool:
        """Cancel the call."""


AsyncStreamCall = grpc.aio.UnaryStreamCall[StreamGenerateRequest, StreamGenerateResponse]


class AIStream(Generic[Parsed]):
    """A stream that sends its request on the first read and can be read once: iterate over it, `text` or `events`.

    Iteration yields AIResponse pieces: `content` is the new text, and the last piece has usage and cost. An
    interrupted stream raises StreamInterruptedError. Leaving the loop or the `with` block early cancels the call.

    If the stream restarts, discard what it yielded. `events` yields Restarted and continues with the new response.
    Pieces and `text` raise StreamInterruptedError, whose `attempts` contain the reason; the call stays open.
    `response` and `complete` then wait for the whole new response, and reading once more yields it piece by piece.

    >>> stream = ai.stream("[[reply: Violets are blue.]]")
    >>> [piece.content for piece in stream]
    ['Violets ', 'are ', 'blue.', '']
    >>> stream.response.usage.output_tokens
    3
    """

    def __init__(self, channel: SyncChannel, operation: StreamOperation) -> None:
        self._channel = channel
        self._operation = operation
        self._call: StreamCall | None = None
        self._state = StreamState()

    def __iter__(self) -> Generator[AIResponse]:
        with closing(self._read()) as events:
            for event in events:
                piece = self._state.piece(event)
                if piece is not None:
                    yield piece

    @property
    def text(self) -> Generator[str]:
        """Yield the text only, as it arrives.

        >>> "".join(ai.stream("[[reply: Roses are red.]]").text)
        'Roses are red.'
        """
        with closing(iter(self)) as pieces:
            for piece in pieces:
                if piece.content:
                    yield piece.content

    @property
    def events(self) -> Generator[Event]:
        """Yield every event, including heartbeats and restarts. The last event is the whole response.

        >>> [type(event).__name__ for event in ai.stream("[[reply: Hello.]]").events]
        ['StreamStarted', 'PartDelta', 'PartCompleted', 'AIResponse']
        """
        return self._read()

    @property
    def response(self) -> AIResponse[Parsed]:
        """The whole response; after a restart, waits for its end.

        Raises the error of a failed stream, or RuntimeError if the stream has not ended.
        """
        return self.complete() if self._state.awaits_new_reader else self._state.response

    @property
    def partial(self) -> AIResponse:
        """What was received so far, also after leaving the loop early or an error; `finish_reason` is empty."""
        return self._state.partial

    def complete(self) -> AIResponse[Parsed]:
        """Read the rest of the stream and return the whole response. Sends the request if nothing was read yet.

        >>> print(ai.stream("[[reply: Sugar is sweet.]]").complete())
        Sugar is sweet.

        Raises the error of a failed stream, or RuntimeError if a reader stopped early.
        """
        if not self._state.has_outcome:
            for _ in self._read():
                pass
        return self._state.response

    def close(self) -> None:
        """Cancel the call if it is in flight. Idempotent.

        >>> ai.stream("Hello.").close()
        """
        self._state.abandon_restart()
        if self._call is not None:
            self._call.cancel()

    def _read(self) -> Generator[Event]:
        self._state.begin_reading()
        try:
            yield from self._events()
        except AIError as error:
            raise self._state.fail(error) from None
        finally:
            if not self._state.awaits_new_reader:
                self.close()

    def _events(self) -> Generator[Event]:
        call, message = self._first_message()
        while message is not None:
            event = self._state.event(message, self._operation.read)
            if event is not None:
                yield event
            message = self._next_message(call)
        self._state.require_completion()

    def _first_message(self) -> tuple[StreamCall, StreamGenerateResponse | None]:
        if self._call is not None:  # the call continues after a restart
            return self._call, self._next_message(self._call)
        retry = RetryState.of(self._operation, self._channel.endpoint)
        first = retry_call(retry, lambda: self._send(retry.remaining))
        self._state.waited = retry.waited
        return first

    def _send(self, remaining: float | None) -> tuple[StreamCall, StreamGenerateResponse | None]:
        call: StreamCall = self._channel.start(self._operation, remaining)
        self._call = call
        return call, self._next_message(call)

    def _next_message(self, call: StreamCall) -> StreamGenerateResponse | None:
        with translate_errors(self._channel, self._operation):
            return next(call, None)

    def __repr__(self) -> str:
        return f"AIStream({self._state.partial!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAIStream(Generic[Parsed]):
    """The asyncio version of AIStream. After a restart, `await complete()` before `response`.

    >>> import asyncio
    >>> async def read() -> str:
    ...     async with AsyncAIManager.gateway(target) as ai:
    ...         return "".join([text async for text in ai.stream("[[reply: Violets are blue.]]").text])
    >>> from aimanager import AsyncAIManager
    >>> asyncio.run(read())
    'Violets are blue.'
    """

    def __init__(self, channel: AsyncChannel, build: Callable[[], Awaitable[StreamOperation]]) -> None:
        self._channel = channel
        self._build = build
        self._operation: StreamOperation | None = None
        self._call: AsyncStreamCall | None = None
        self._state = StreamState()

    async def __aiter__(self) -> AsyncGenerator[AIResponse]:
        async with aclosing(self._read()) as events:
            async for event in events:
                piece = self._state.piece(event)
                if piece is not None:
                    yield piece

    @property
    async def text(self) -> AsyncGenerator[str]:
        """Yield the text only, as it arrives."""
        async with aclosing(self.__aiter__()) as pieces:
            async for piece in pieces:
                if piece.content:
                    yield piece.content

    @property
    def events(self) -> AsyncGenerator[Event]:
        """Yield every event, including heartbeats and restarts. The last event is the whole response."""
        return self._read()

    @property
    def response(self) -> AIResponse[Parsed]:
        """The whole response. After a restart, `await complete()` first.

        Raises the error of a failed stream, or RuntimeError if the stream has not ended.
        """
        return self._state.response

    @property
    def partial(self) -> AIResponse:
        """What was received so far, also after leaving the loop early or an error; `finish_reason` is empty."""
        return self._state.partial

    async def complete(self) -> AIResponse[Parsed]:
        """Read the rest of the stream and return the whole response. Sends the request if nothing was read yet.

        Raises the error of a failed stream, or RuntimeError if a reader stopped early.
        """
        if not self._state.has_outcome:
            async for _ in self._read():
                pass
        return self._state.response

    def close(self) -> None:
        """Cancel the call if it is in flight. Idempotent."""
        self._state.abandon_restart()
        if self._call is not None:
            self._call.cancel()

    async def _read(self) -> AsyncGenerator[Event]:
        self._state.begin_reading()
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    yield event
        except AIError as error:
            raise self._state.fail(error) from None
        finally:
            if not self._state.awaits_new_reader:
                self.close()

    async def _events(self) -> AsyncGenerator[Event]:
        operation = self._operation = self._operation or await self._build()
        call, message = await self._first_message(operation)
        while message is not None:
            event = self._state.event(message, operation.read)
            if event is not None:
                yield event
            message = await self._next_message(operation, call)
        self._state.require_completion()

    async def _first_message(self, operation: StreamOperation) -> tuple[AsyncStreamCall, StreamGenerateResponse | None]:
        if self._call is not None:  # the call continues after a restart
            return self._call, await self._next_message(operation, self._call)
        retry = RetryState.of(operation, self._channel.endpoint)
        first = await retry_call_async(retry, lambda: self._send(operation, retry.remaining))
        self._state.waited = retry.waited
        return first

    async def _send(
        self, operation: StreamOperation, remaining: float | None
    ) -> tuple[AsyncStreamCall, StreamGenerateResponse | None]:
        call: AsyncStreamCall = self._channel.start(operation, remaining)
        self._call = call
        return call, await self._next_message(operation, call)

    async def _next_message(self, operation: StreamOperation, call: AsyncStreamCall) -> StreamGenerateResponse | None:
        with translate_errors(self._channel, operation):
            message = await call.read()
        return message if isinstance(message, StreamGenerateResponse) else None

    def __repr__(self) -> str:
        return f"AsyncAIStream({self._state.partial!r})"

    def __del__(self) -> None:
        # gRPC cancels a call that is dropped; grpc.aio keeps it until its deadline.
        if self._state.awaits_new_reader:
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
