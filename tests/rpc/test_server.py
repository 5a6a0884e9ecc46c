"""Listening, readiness and reflection of a real server."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.rpc.server import CannotListen
from tests.support.rpc import QUESTION, bearer, build, callers, serving, settings
from tests.support.rpc_errors import refusal

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def status(channel: grpc.aio.Channel, service: str) -> int:
    return int((await HealthStub(channel).Check(HealthCheckRequest(service=service))).status)


@pytest.mark.parametrize(
    "service",
    [
        "",
        "liveness",
        "readiness",
        "aimanager.v1.GenerationService",
        "aimanager.v1.ModelService",
        "aimanager.v1.HealthService",
        "grpc.health.v1.Health",
    ],
)
async def test_a_started_server_says_so_under_every_name(service: str) -> None:
    async with serving(build()) as world:
        assert await status(world.channel, service) == SERVING


async def test_an_unknown_service_is_not_found_by_check_and_unknown_to_watch() -> None:
    async with serving(build()) as world:
        seen = await refusal(HealthStub(world.channel).Check(HealthCheckRequest(service="nobody")))
        watch = HealthStub(world.channel).Watch(HealthCheckRequest(service="nobody"))
        first = await watch.read()
        watch.cancel()

    assert seen.code is grpc.StatusCode.NOT_FOUND
    assert first.status == HealthCheckResponse.SERVICE_UNKNOWN


async def test_a_port_in_use_is_named_and_nothing_is_left_listening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = build(chosen=settings({"health_listen": address}))
        with pytest.raises(CannotListen, match=f"'{address}'.*in use"):
            await server.start()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_two_servers_never_share_a_port() -> None:
    first = build()
    async with serving(first):
        second = build(chosen=settings({"listen": f"127.0.0.1:{first.port}"}))
        with pytest.raises(CannotListen):
            await second.start()


async def test_the_health_listener_answers_for_health_alone() -> None:
    server = build(chosen=settings({"health_listen": "127.0.0.1:0"}, callers=callers("ann")))
    async with serving(server), grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
        ready = await status(channel, "readiness")
        seen = await refusal(GenerationServiceStub(channel).Generate(QUESTION, metadata=bearer("ann")))

    assert ready == SERVING
    assert seen.code is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_lists_the_services_where_it_is_switched_on() -> None:
    async with serving(build(chosen=settings({"reflection": True}))) as world:
        stub = ServerReflectionStub(world.channel)
        call = stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        answer = await call.read()
        call.cancel()

    names = {service.name for service in answer.list_services_response.service}
    assert {"aimanager.v1.GenerationService", "grpc.health.v1.Health"} <= names


async def test_garbage_in_a_request_stream_is_an_invalid_argument() -> None:
    async with serving(build(chosen=settings({"reflection": True}))) as world:
        method: Any = world.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        seen = await refusal(method(iter([b"\xff\xff\xff"])))

    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_is_off_unless_switched_on() -> None:
    async with serving(build()) as world:
        stub = ServerReflectionStub(world.channel)
        seen = await refusal(stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")])))

    assert seen.code is grpc.StatusCode.UNIMPLEMENTED
