"""An answer while it is written: read as pieces, as text or as events, and whole at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Protocol, Self

import grpc
import grpc.aio

from ._convert.output_format import Output
from ._convert.stream_state import Event, Reading
from ._transport.errors import Line, translated
from ._transport.retry import Patience, patiently, patiently_async
from .errors import AIError
from .types.response import AIResponse
from .v1.generation_pb2 import StreamGenerateRequest, StreamGenerateResponse


class Call(Protocol):
    """A sent stream: messages in order, and the means to stop it."""

    def __next__(self) -> StreamGenerateResponse:
        """The next message."""

    def cancel(self) -> bool:
        """Tells the server to stop."""


AsyncCall = grpc.aio.UnaryStreamCall[StreamGenerateRequest, StreamGenerateResponse]


class AIStream:
    """Sends its question when first read, and can be read once: iterate over it, its `text` or its `events`.

    Iterating yields AIResponse pieces: `content` is the new text, the last piece has usage and cost. If the answer is
    cut off, reading raises StreamInterruptedError. Leaving the loop or the `with` block early cancels the call.

    Where the answer begins again, what was yielded is void: `events` yield Restarted and go on with the new answer;
    pieces and `text` raise StreamInterruptedError, whose `attempts` say why. That leaves the call alone: `response`
    and `complete` then wait for the whole new answer, and reading once more shows it as it comes.
    """

    def __init__(
        self, patience: Patience, send: Callable[[float], Call], line: Line, output: Output | None = None
    ) -> None:
        self._patience = patience
        self._send = send
        self._line = line
        self._call: Call | None = None
        self._reading = Reading(output)

    def __iter__(self) -> Generator[AIResponse]:
        with closing(self._read()) as events:
            for event in events:
                piece = self._reading.piece(event)
                if piece is not None:
                    yield piece

    @property
    def text(self) -> Generator[str]:
        """The text alone, as it comes."""
        with closing(iter(self)) as pieces:
            for piece in pieces:
                if piece.content:
                    yield piece.content

    @property
    def events(self) -> Generator[Event]:
        """Everything the server says, heartbeats and restarts too; the last event is the whole answer."""
        return self._read()

    @property
    def response(self) -> AIResponse:
        """The whole answer; where it began again, waits for its end.

        Raises what ended the stream, or RuntimeError while it has not ended.
        """
        return self.complete() if self._reading.goes_on else self._reading.response

    def complete(self) -> AIResponse:
        """Reads what is left, and returns the whole answer; with a stream not read yet, as `request` does.

        Raises what ended the stream, or RuntimeError where it was left before its end.
        """
        if not self._reading.has_ended:
            for _ in self._read():
                pass
        return self._reading.response

    def close(self) -> None:
        """Cancels what is under way. May be called twice."""
        self._reading.give_up()
        if self._call is not None:
            self._call.cancel()

    def _read(self) -> Generator[Event]:
        self._reading.begin()
        try:
            yield from self._events()
        except AIError as failure:
            self._reading.fail(failure)
            raise
        finally:
            if not self._reading.goes_on:
                self.close()

    def _events(self) -> Generator[Event]:
        call, message = self._begun()
        while message is not None:
            event = self._reading.event(message)
            if event is not None:
                yield event
            message = self._next(call)
        self._reading.end()

    def _begun(self) -> tuple[Call, StreamGenerateResponse | None]:
        """The call and its next message: a read after a restart goes on with the call of the one before."""
        if self._call is not None:
            return self._call, self._next(self._call)
        return patiently(self._patience, self._first)

    def _first(self) -> tuple[Call, StreamGenerateResponse | None]:
        call = self._call = self._send(self._patience.remaining)
        return call, self._next(call)

    def _next(self, call: Call) -> StreamGenerateResponse | None:
        with translated(self._line):
            return next(call, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAIStream:
    """As AIStream, for asyncio; where the answer began again, `await complete()` before `response`."""

    def __init__(
        self,
        patience: Patience,
        send: Callable[[float], Awaitable[AsyncCall]],
        line: Line,
        output: Output | None = None,
    ) -> None:
        self._patience = patience
        self._send = send
        self._line = line
        self._call: AsyncCall | None = None
        self._reading = Reading(output)

    async def __aiter__(self) -> AsyncGenerator[AIResponse]:
        async with aclosing(self._read()) as events:
            async for event in events:
                piece = self._reading.piece(event)
                if piece is not None:
                    yield piece

    @property
    async def text(self) -> AsyncGenerator[str]:
        """The text alone, as it comes."""
        async with aclosing(self.__aiter__()) as pieces:
            async for piece in pieces:
                if piece.content:
                    yield piece.content

    @property
    def events(self) -> AsyncGenerator[Event]:
        """Everything the server says, heartbeats and restarts too; the last event is the whole answer."""
        return self._read()

    @property
    def response(self) -> AIResponse:
        """The whole answer. Raises what ended the stream, or RuntimeError while it has not ended.

        Where the answer began again, `await complete()` first.
        """
        return self._reading.response

    async def complete(self) -> AIResponse:
        """Reads what is left, and returns the whole answer; with a stream not read yet, as `request` does.

        Raises what ended the stream, or RuntimeError where it was left before its end.
        """
        if not self._reading.has_ended:
            async for _ in self._read():
                pass
        return self._reading.response

    def close(self) -> None:
        """Cancels what is under way. May be called twice."""
        self._reading.give_up()
        if self._call is not None:
            self._call.cancel()

    async def _read(self) -> AsyncGenerator[Event]:
        self._reading.begin()
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    yield event
        except AIError as failure:
            self._reading.fail(failure)
            raise
        finally:
            if not self._reading.goes_on:
                self.close()

    async def _events(self) -> AsyncGenerator[Event]:
        call, message = await self._begun()
        while message is not None:
            event = self._reading.event(message)
            if event is not None:
                yield event
            message = await self._next(call)
        self._reading.end()

    async def _begun(self) -> tuple[AsyncCall, StreamGenerateResponse | None]:
        if self._call is not None:
            return self._call, await self._next(self._call)
        return await patiently_async(self._patience, self._first)

    async def _first(self) -> tuple[AsyncCall, StreamGenerateResponse | None]:
        call = self._call = await self._send(self._patience.remaining)
        return call, await self._next(call)

    async def _next(self, call: AsyncCall) -> StreamGenerateResponse | None:
        with translated(self._line):
            message = await call.read()
        return message if isinstance(message, StreamGenerateResponse) else None

    def __del__(self) -> None:
        # gRPC ends a call that is dropped, but grpc.aio keeps it until its deadline.
        if self._reading.goes_on:
            self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
