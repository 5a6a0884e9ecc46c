"""Requests are received only from admitted calls, and bounded in bytes, fields and time."""

from __future__ import annotations

import asyncio
import gc
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import Default

from aimanager.v1 import generation_pb2, model_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.config.settings import Limits
from aimanager_server.core.errors import Unauthenticated
from aimanager_server.core.request import Caller
from aimanager_server.resilience.request_turns import MIN_TURN_BYTES, RequestTurns
from aimanager_server.rpc.context import Rpc
from aimanager_server.rpc.policies import POLICIES
from aimanager_server.rpc.request_receiver import RequestReceiver
from tests.support.counting_proxy import counting_proxy
from tests.support.eventually import eventually
from tests.support.rpc import (
    REQUEST,
    BlockingHandler,
    bearer,
    build_server,
    callers,
    running,
    server_settings,
)
from tests.support.rpc_errors import failure_of

GENERATE = "/aimanager.v1.GenerationService/Generate"
STREAM_GENERATE = "/aimanager.v1.GenerationService/StreamGenerate"
MIB = 1024 * 1024
EMPTY_MESSAGES = b"\x12\x00" * (8 * MIB)


def live_calls() -> int:
    """Return the number of calls and of their errors in memory."""
    return sum(isinstance(each, Rpc | Unauthenticated) for each in gc.get_objects())


async def nothing() -> AsyncIterator[bytes]:
    """Send no message and keep the call open."""
    await asyncio.Event().wait()
    yield b""


async def test_the_request_of_an_unauthenticated_call_is_not_received() -> None:
    large = generation_pb2.GenerateRequest(messages=REQUEST.messages, system_instruction="x" * 20 * MIB)
    server = build_server(settings=server_settings(callers=callers("ann")))
    async with running(server) as gateway, counting_proxy(gateway.server.port) as proxy:
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            failure = await failure_of(GenerationServiceStub(channel).Generate(large))
        rejected_bytes = proxy.sent

        async with grpc.aio.insecure_channel(proxy.target) as channel:
            response = await GenerationServiceStub(channel).Generate(large, metadata=bearer("ann"))

    assert failure.code is grpc.StatusCode.UNAUTHENTICATED
    assert rejected_bytes < 12 * MIB  # what the flow-control windows and the sockets hold
    assert proxy.sent - rejected_bytes > 20 * MIB
    assert response.message.parts[0].text == "Hello"


async def test_a_request_with_too_many_fields_is_rejected_before_it_is_decoded() -> None:
    assert len(gzip.compress(EMPTY_MESSAGES)) < 32 * 1024

    async with running(build_server()) as gateway:
        methods: list[Any] = [gateway.channel.unary_unary(GENERATE), gateway.channel.unary_stream(STREAM_GENERATE)]
        started = time.process_time()
        unary, stream = [await failure_of(call(EMPTY_MESSAGES, compression=grpc.Compression.Gzip)) for call in methods]
        cpu_seconds = time.process_time() - started

    assert [unary.code, stream.code] == [grpc.StatusCode.INVALID_ARGUMENT] * 2
    assert unary.message == "The request must not have more than 20000 fields, with those of all messages and parts."
    assert cpu_seconds < 2.0


async def test_a_request_message_that_does_not_arrive_ends_the_call() -> None:
    settings = server_settings({"request_timeout_seconds": 0.05, "max_in_flight": 1, "max_in_flight_per_caller": 1})
    async with running(build_server(settings=settings)) as gateway:
        call: Any = gateway.channel.stream_unary(GENERATE)
        failure = await failure_of(call(nothing()))
        response = await gateway.generation.Generate(REQUEST)

    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert failure.message == "The request message did not arrive within 0.05 s."
    assert response.message.parts[0].text == "Hello"


async def test_a_call_without_a_request_message_is_rejected() -> None:
    async with running(build_server()) as gateway:
        call: Any = gateway.channel.stream_unary(GENERATE)
        failure = await failure_of(call(iter(())))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_no_call_that_admission_takes_is_lost_on_one_connection() -> None:
    handler = BlockingHandler()
    settings = server_settings({"max_in_flight": 2000, "max_in_flight_per_caller": 2000})
    async with running(build_server(handler, settings)) as gateway:
        calls = [asyncio.ensure_future(gateway.generation.Generate(REQUEST)) for _ in range(1500)]
        await handler.entered.wait()
        handler.release.set()
        responses = await asyncio.gather(*calls)

    assert len(responses) == 1500


async def test_every_method_has_a_policy_and_every_policy_a_method() -> None:
    names = [service.name for service in build_server().services] + ["grpc.reflection.v1alpha.ServerReflection"]
    services = [Default().FindServiceByName(name) for name in names]
    methods = {f"{service.full_name}/{method.name}" for service in services for method in service.methods}

    assert methods | {"grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} == set(POLICIES)


async def test_reads_do_not_use_up_the_quota_of_generations() -> None:
    tiers = {"free": {"requests_per_minute": 1, "reads_per_minute": 2}}
    async with running(build_server(settings=server_settings(tiers=tiers))) as gateway:
        for _ in range(2):
            await gateway.models.ListModels(model_pb2.ListModelsRequest())
        third = await failure_of(gateway.models.ListModels(model_pb2.ListModelsRequest()))
        await gateway.generation.Generate(REQUEST)
        second = await failure_of(gateway.generation.Generate(REQUEST))

    assert [failure.reason for failure in (third, second)] == ["RATE_LIMITED"] * 2


async def test_rejected_calls_leave_no_garbage_that_only_a_full_collection_frees() -> None:
    async with running(build_server(settings=server_settings(callers=callers("ann")))) as gateway:
        gc.collect()
        before = live_calls()
        gc.disable()
        try:
            for _ in range(20):
                await failure_of(gateway.generation.Generate(REQUEST))
            await eventually(lambda: live_calls() <= before, True)
        finally:
            gc.enable()


class RecordingTurns(RequestTurns):
    """Grants each turn at once and notes its caller."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[str] = []

    async def wait(self, caller: str) -> None:
        self.callers.append(caller)


class OneMessage:
    """The context of a call whose request is this message."""

    def __init__(self, message: bytes) -> None:
        self._message = message

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def read(self) -> bytes:
        return self._message


async def test_only_large_requests_wait_for_their_turn() -> None:
    turns = RecordingTurns()
    receiver = RequestReceiver(Limits(), 30.0, turns)
    receive = receiver.bind("Generate", generation_pb2.GenerateRequest.FromString, is_stream=False)

    for caller, length in (("ann", MIN_TURN_BYTES - 100), ("bob", MIN_TURN_BYTES), ("cat", MIB)):
        request = generation_pb2.GenerateRequest(system_instruction="x" * length)
        rpc = Rpc("Generate", OneMessage(request.SerializeToString()))
        rpc.caller = Caller(caller)
        assert await receive(rpc) == request

    assert turns.callers == ["bob", "cat"]
