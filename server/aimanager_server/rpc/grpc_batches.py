"""Await operations of grpc.aio so that their memory is freed however they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from contextvars import Context
from types import coroutine
from typing import Any


@coroutine
def complete(operation: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await an operation of a servicer context that is one batch, such as `context.write(message)`.

    gRPC frees a batch, 300 bytes or more, in the code that follows its wait. It never reaches that code if the batch
    fails or its task is cancelled (https://github.com/grpc/grpc/issues/43360, read 2026-11). Here a cancellation ends
    the wait of the task only, and the operation is always resumed once its batch has ended.
    """
    steps = operation.__await__()
    try:
        batch = next(steps)
    except StopIteration as end:
        return end.value
    try:
        yield _Wait(batch)
    except BaseException:
        if batch.done():
            _release(steps, batch)
        else:
            batch.add_done_callback(lambda batch: _release(steps, batch))
        raise
    return (yield from steps)


def _release(steps: Generator[Any, Any, Any], batch: asyncio.Future[None]) -> None:
    """Resume an operation whose result nobody awaits any more, after its batch has ended."""
    if batch.exception() is not None:
        # A failed batch would raise inside the wait. As if it were new, the future can be given a result.
        batch.__init__(loop=batch.get_loop())  # type: ignore[misc]
        batch.set_result(None)
    with suppress(Exception):
        next(steps)


class _Wait:
    """Stands for the future of a batch while a task awaits it. To cancel it wakes the task, not the operation."""

    __slots__ = ("_asyncio_future_blocking", "_batch", "_context", "_wake_up")

    def __init__(self, batch: asyncio.Future[None]) -> None:
        self._asyncio_future_blocking = True
        self._batch = batch

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._batch.get_loop()

    def add_done_callback(self, wake_up: Callable[[asyncio.Future[None]], object], *, context: Context) -> None:
        self._wake_up = wake_up
        self._context = context
        self._batch.add_done_callback(wake_up, context=context)

    def cancel(self, msg: object = None) -> bool:
        if self._batch.done():
            return False
        self._batch.remove_done_callback(self._wake_up)
        cancelled = self.get_loop().create_future()
        cancelled.cancel(msg)
        cancelled.add_done_callback(self._wake_up, context=self._context)
        return True
