"""Operations of grpc.aio reach the code after their wait, which frees their batch, however the wait ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.grpc_batches import complete
from tests.support.eventually import eventually

STREAMS = 20


class Operation:
    """An operation with one batch, like those of grpc.aio. `released` is set by the code that follows its wait."""

    def __init__(self) -> None:
        self.batch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.released = False

    async def run(self) -> str:
        await self.batch
        self.released = True
        return "written"


def succeed(batch: asyncio.Future[None]) -> None:
    batch.set_result(None)


def fail(batch: asyncio.Future[None]) -> None:
    batch.set_exception(ConnectionError("disconnected"))


async def started(operation: Operation) -> asyncio.Task[str]:
    task = asyncio.ensure_future(complete(operation.run()))
    await asyncio.sleep(0)
    return task


async def test_the_result_of_an_operation_is_returned() -> None:
    operation = Operation()
    task = await started(operation)
    operation.batch.set_result(None)

    assert await task == "written"

    async def without_a_wait() -> str:
        return "buffered"

    assert await complete(without_a_wait()) == "buffered"


async def test_failed_operation_raises_and_is_released() -> None:
    operation = Operation()
    task = await started(operation)
    fail(operation.batch)

    with pytest.raises(ConnectionError, match="disconnected"):
        await task
    assert operation.released


@pytest.mark.parametrize("end", [succeed, fail])
async def test_cancelled_task_ends_at_once_and_its_operation_is_released_later(
    end: Callable[[asyncio.Future[None]], None],
) -> None:
    operation = Operation()
    task = await started(operation)

    task.cancel("why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        await task
    assert not operation.batch.cancelled()
    assert not operation.released

    end(operation.batch)
    await asyncio.sleep(0)
    assert operation.released


@pytest.mark.parametrize("end", [succeed, fail])
async def test_task_cancelled_when_its_batch_has_just_ended(end: Callable[[asyncio.Future[None]], None]) -> None:
    operation = Operation()
    task = await started(operation)

    end(operation.batch)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert operation.released


class CountingContext:
    """A servicer context that counts the writes that began, and those that reached the end of gRPC's own code."""

    begun = ended = 0

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: bytes) -> None:
        CountingContext.begun += 1
        await self._context.write(message)
        CountingContext.ended += 1


async def write_until_cancelled(requests: object, context: Any) -> None:
    """Write messages that are larger than gRPC's flow-control window, so that all but the first wait."""
    rpc = Rpc("test.Writer/Write", CountingContext(context))
    while True:
        await rpc.write(b"x" * 100_000)


async def test_every_write_of_a_cancelled_stream_reaches_its_end() -> None:
    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(write_until_cancelled)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Writer", {"Write": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        write: Any = channel.unary_stream("/test.Writer/Write")
        for _ in range(STREAMS):
            stream = write(b"")
            await stream.read()
            stream.cancel()
        await eventually(lambda: STREAMS < CountingContext.begun == CountingContext.ended, True)
    await server.stop(None)
