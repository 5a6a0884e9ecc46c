"""Bytes that no gRPC client sends neither stop the server nor reach a log."""

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
from tests.support.http2 import send_call
from tests.support.rpc import REQUEST, BlockingHandler, bearer, build_server, callers, running, server_settings
from tests.support.rpc_errors import failure_of

GENERATE = b"/aimanager.v1.GenerationService/Generate"


async def test_grpc_does_not_log_a_token_that_is_not_utf_8(
    caplog: pytest.LogCaptureFixture, log_events: list[dict[str, object]]
) -> None:
    caplog.set_level(logging.DEBUG)

    async with running(build_server(settings=server_settings(callers=callers("ann")))) as gateway:
        response = await send_call(gateway.server.port, GENERATE, (b"authorization", b"Bearer \xff\xfecanary"))

    assert b"grpc-status\x0216" in response
    assert "not valid UTF-8" in caplog.text
    assert "canary" not in caplog.text + repr(log_events) + repr(response)


async def test_a_token_that_is_not_utf_8_is_rejected_even_if_anonymous_callers_are_accepted() -> None:
    settings = server_settings({"allow_anonymous": True}, callers=callers("ann"))
    async with running(build_server(settings=settings)) as gateway:
        response = await send_call(gateway.server.port, GENERATE, (b"authorization", b"Bearer \xff\xfe"))

    assert b"grpc-status\x0216" in response


async def retry_until_accepted(stub: Any) -> Any:
    """Return the response, retrying until the server accepts calls again."""
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await stub.Generate(REQUEST, wait_for_ready=True, timeout=30)


async def test_a_method_name_that_is_not_utf_8_does_not_stop_the_server() -> None:
    handler = BlockingHandler()
    server = build_server(handler, server_settings({"drain_timeout_seconds": 60.0}))
    await server.start()
    serving = asyncio.ensure_future(server.serve_until_signal())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = GenerationServiceStub(channel)
        in_flight = asyncio.ensure_future(stub.Generate(REQUEST))
        await handler.entered.wait()

        handler.entered.clear()
        await send_call(server.port, b"/\xff\xfe/x")
        later = asyncio.ensure_future(retry_until_accepted(stub))
        await asyncio.wait_for(handler.entered.wait(), 30)
        handler.release.set()

        assert (await in_flight).message.parts[0].text == "Hello"
        assert (await later).message.parts[0].text == "Hello"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 10)


async def test_random_metadata_is_rejected_without_a_crash(log_events: list[dict[str, object]]) -> None:
    rng = random.Random(20_261_122)
    keys = ["authorization", "x-request-id", "traceparent", "x-provider-key-claude", "x-provider-key-", "a.b_c-d"]
    printable = "".join(map(chr, range(0x20, 0x7F)))

    async with running(build_server(settings=server_settings(callers=callers("ann")))) as gateway:
        codes = set()
        for _ in range(300):
            sent = [(rng.choice(keys), "".join(rng.choices(printable, k=rng.randrange(40)))) for _ in range(4)]
            codes.add((await failure_of(gateway.generation.Generate(REQUEST, metadata=sent))).code.name)
        response = await gateway.generation.Generate(REQUEST, metadata=bearer("ann"))

    assert codes <= {"UNAUTHENTICATED", "INVALID_ARGUMENT"}
    assert response.message.parts[0].text == "Hello"
    assert not [event for event in log_events if event["event"] == "rpc.crashed"]
