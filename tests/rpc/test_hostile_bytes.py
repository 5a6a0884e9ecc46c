"""What no gRPC client would send neither stops the server nor reaches a log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
from typing import Any

import grpc.aio
import pytest

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.http2 import send
from tests.support.rpc import QUESTION, Waiting, bearer, build, callers, serving, settings
from tests.support.rpc_errors import refusal

GENERATE = b"/aimanager.v1.GenerationService/Generate"


async def test_a_token_that_is_not_utf_8_is_not_logged_by_grpc_either(
    caplog: pytest.LogCaptureFixture, logged: list[dict[str, object]]
) -> None:
    caplog.set_level(logging.DEBUG)

    async with serving(build(chosen=settings(callers=callers("ann")))) as world:
        answer = await send(world.server.port, GENERATE, (b"authorization", b"Bearer \xff\xfecanary"))

    assert b"grpc-status\x0216" in answer
    assert "not UTF-8" in caplog.text
    assert "canary" not in caplog.text + repr(logged) + repr(answer)


async def _accepted(stub: Any) -> Any:
    """The answer, after as many refusals as the server needs to open again."""
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await stub.Generate(QUESTION, wait_for_ready=True, timeout=30)


async def test_a_method_name_that_is_not_utf_8_costs_nobody_the_server() -> None:
    handler = Waiting()
    server = build(handler, settings({"drain_seconds": 60.0}))
    await server.start()
    serving_ = asyncio.ensure_future(server.serve_until_signal())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = GenerationServiceStub(channel)
        under_way = asyncio.ensure_future(stub.Generate(QUESTION))
        await handler.entered.wait()

        handler.entered.clear()
        await send(server.port, b"/\xff\xfe/x")
        later = asyncio.ensure_future(_accepted(stub))
        await asyncio.wait_for(handler.entered.wait(), 30)
        handler.go.set()

        assert (await under_way).message.parts[0].text == "Hello"
        assert (await later).message.parts[0].text == "Hello"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving_, 10)


async def test_no_metadata_key_or_value_breaks_the_door(logged: list[dict[str, object]]) -> None:
    dice = random.Random(20_261_122)
    keys = ["authorization", "x-request-id", "traceparent", "x-provider-key-claude", "x-provider-key-", "a.b_c-d"]
    printable = "".join(map(chr, range(0x20, 0x7F)))

    async with serving(build(chosen=settings(callers=callers("ann")))) as world:
        codes = set()
        for _ in range(300):
            sent = [(dice.choice(keys), "".join(dice.choices(printable, k=dice.randrange(40)))) for _ in range(4)]
            codes.add((await refusal(world.generation.Generate(QUESTION, metadata=sent))).code.name)
        answer = await world.generation.Generate(QUESTION, metadata=bearer("ann"))

    assert codes <= {"UNAUTHENTICATED", "INVALID_ARGUMENT"}
    assert answer.message.parts[0].text == "Hello"
    assert not [event for event in logged if event["event"] == "rpc.crashed"]
