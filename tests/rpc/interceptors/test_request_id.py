"""Request ids and W3C trace context of callers."""

from __future__ import annotations

import pytest

from aimanager_server.core import errors
from aimanager_server.core.request import Call
from aimanager_server.core.stream import ResponseStream
from tests.support.rpc import HELLO_EVENTS, REQUEST, STREAM_REQUEST, answering, build_server, raising, running
from tests.support.rpc_errors import RpcFailure, failure_of


async def fail_with(error: BaseException, *metadata: tuple[str, str]) -> RpcFailure:
    async with running(build_server(raising(error))) as gateway:
        return await failure_of(gateway.generation.Generate(REQUEST, metadata=metadata))


async def test_the_request_id_is_returned_with_responses_and_errors() -> None:
    async with running(build_server()) as gateway:
        call = gateway.generation.Generate(REQUEST, metadata=(("x-request-id", "mine-1"),))
        response = await call
        unary = dict(await call.trailing_metadata())
        stream = gateway.generation.StreamGenerate(STREAM_REQUEST, metadata=(("x-request-id", "mine-2"),))
        headers = dict(await stream.initial_metadata())
    failed = await fail_with(errors.Overloaded("Full."), ("x-request-id", "mine-3"))

    assert response.id == unary["x-request-id"] == "mine-1"
    assert headers["x-request-id"] == "mine-2"
    assert failed.trailers["x-request-id"] == failed.metadata["requestId"] == "mine-3"


@pytest.mark.parametrize("sent", [("x" * 129,), ("white space",), ("a", "b"), (".",), ("",), ()], ids=repr)
async def test_a_malformed_request_id_is_replaced(sent: tuple[str, ...]) -> None:
    failure = await fail_with(errors.Overloaded("Full."), *(("x-request-id", value) for value in sent))

    assert len(failure.metadata["requestId"]) == 32


@pytest.mark.parametrize(
    ("sent", "is_valid"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("garbage", False),
    ],
)
async def test_a_valid_traceparent_is_passed_on(sent: str, is_valid: bool) -> None:
    traceparents: list[str] = []

    async def handle(call: Call) -> ResponseStream:
        traceparents.append(call.traceparent)
        return await answering(*HELLO_EVENTS)(call)

    async with running(build_server(handle)) as gateway:
        await gateway.generation.Generate(REQUEST, metadata=(("traceparent", sent),))

    assert traceparents == [sent if is_valid else ""]
