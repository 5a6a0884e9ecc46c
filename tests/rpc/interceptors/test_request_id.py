"""Ids and traces of callers."""

from __future__ import annotations

import pytest

from aimanager_server.core import errors
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from tests.support.rpc import HELLO, QUESTION, STREAMED, build, failing, saying, serving
from tests.support.rpc_errors import Refusal, refusal


async def failure(error: BaseException, *metadata: tuple[str, str]) -> Refusal:
    async with serving(build(failing(error))) as world:
        return await refusal(world.generation.Generate(QUESTION, metadata=metadata))


async def test_the_request_id_comes_back_with_answers_and_failures() -> None:
    async with serving(build()) as world:
        call = world.generation.Generate(QUESTION, metadata=(("x-request-id", "mine-1"),))
        answer = await call
        unary = dict(await call.trailing_metadata())
        stream = world.generation.StreamGenerate(STREAMED, metadata=(("x-request-id", "mine-2"),))
        headers = dict(await stream.initial_metadata())
    failed = await failure(errors.Overloaded("Full."), ("x-request-id", "mine-3"))

    assert answer.id == unary["x-request-id"] == "mine-1"
    assert headers["x-request-id"] == "mine-2"
    assert failed.trailers["x-request-id"] == failed.metadata["requestId"] == "mine-3"


@pytest.mark.parametrize("sent", [("x" * 129,), ("white space",), ("a", "b"), (".",), ("",), ()], ids=repr)
async def test_a_malformed_request_id_is_replaced(sent: tuple[str, ...]) -> None:
    seen = await failure(errors.Overloaded("Full."), *(("x-request-id", value) for value in sent))

    assert len(seen.metadata["requestId"]) == 32


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("garbage", False),
    ],
)
async def test_a_trace_is_passed_on_where_it_is_one(sent: str, passed_on: bool) -> None:
    seen: list[str] = []

    async def handle(call: Call) -> ResponseStream:
        seen.append(call.traceparent)
        return await saying(*HELLO)(call)

    async with serving(build(handle)) as world:
        await world.generation.Generate(QUESTION, metadata=(("traceparent", sent),))

    assert seen == [sent if passed_on else ""]
