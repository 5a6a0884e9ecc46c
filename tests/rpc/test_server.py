"""Listening, health and reflection of a real server."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from aimanager_server.config.errors import StartupError
from tests.support.rpc import REQUEST, RunningServer, bearer, build_server, callers, running, server_settings
from tests.support.rpc_errors import failure_of

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def status(channel: grpc.aio.Channel, service: str) -> int:
    return int((await HealthStub(channel).Check(HealthCheckRequest(service=service))).status)


async def test_a_started_server_is_serving_under_every_service_name() -> None:
    api_services = [
        f"aimanager.v1.{name}Service" for name in ("Generation", "Model", "Embedding", "Health", "Quality", "Metrics")
    ]
    services = ["", "liveness", "readiness", *api_services, "grpc.health.v1.Health"]
    async with running(build_server()) as gateway:
        statuses = {service: await status(gateway.channel, service) for service in services}

    assert statuses == dict.fromkeys(services, SERVING)


async def test_list_returns_the_status_of_every_service() -> None:
    async with running(build_server()) as gateway:
        listed = (await HealthStub(gateway.channel).List(HealthListRequest())).statuses

    names = {service.name for service in gateway.server.services} | {"", "liveness", "readiness"}
    assert {name: listed[name].status for name in listed} == dict.fromkeys(names, SERVING)


async def test_an_unknown_service_is_not_found_by_check_and_unknown_to_watch() -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(HealthStub(gateway.channel).Check(HealthCheckRequest(service="nobody")))
        watch = HealthStub(gateway.channel).Watch(HealthCheckRequest(service="nobody"))
        first = await watch.read()
        watch.cancel()

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert first.status == HealthCheckResponse.SERVICE_UNKNOWN


async def test_watches_of_the_standard_health_service_are_limited_in_number_and_time() -> None:
    settings = server_settings({"max_watches": 2, "watch_timeout_seconds": 0.05})
    async with running(build_server(settings=settings)) as gateway:
        stub = HealthStub(gateway.channel)
        first = aiter(stub.Watch(HealthCheckRequest()))
        statuses = [(await anext(first)).status]
        failure = await failure_of(stub.Watch(HealthCheckRequest()))
        statuses += [response.status async for response in first]
        again = await anext(aiter(stub.Watch(HealthCheckRequest())))

    assert statuses == [SERVING]
    assert failure.reason == "OVERLOADED"
    assert failure.message.startswith("Too many watches of grpc.health.v1.Health are open from this address (1).")
    assert again.status == SERVING


async def test_a_port_in_use_is_named_and_every_port_is_released() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = build_server(settings=server_settings({"health_listen": address}))
        with pytest.raises(StartupError, match=f"'{address}'.*in use"):
            await server.start()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_two_servers_never_share_a_port() -> None:
    first = build_server()
    async with running(first):
        second = build_server(settings=server_settings({"listen": f"127.0.0.1:{first.port}"}))
        with pytest.raises(StartupError):
            await second.start()


async def test_the_health_listener_serves_only_the_health_service() -> None:
    server = build_server(settings=server_settings({"health_listen": "127.0.0.1:0"}, callers=callers("ann")))
    async with running(server), grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
        ready = await status(channel, "readiness")
        failure = await failure_of(GenerationServiceStub(channel).Generate(REQUEST, metadata=bearer("ann")))

    assert ready == SERVING
    assert failure.code is grpc.StatusCode.UNIMPLEMENTED


async def reflected(gateway: RunningServer, version: str, **request: str) -> Any:
    """Ask the reflection service one question."""
    method: Any = gateway.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    call = method(iter([ServerReflectionRequest(**request)]))
    response = await call.read()
    call.cancel()
    return response


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_every_service_and_method_if_enabled(version: str) -> None:
    async with running(build_server(settings=server_settings({"reflection": True}))) as gateway:
        listed = await reflected(gateway, version, list_services="")
        names = {service.name for service in listed.list_services_response.service}
        symbols = {*names, "aimanager.v1.GenerationService.StreamGenerate", "aimanager.v1.GenerateRequest"}
        found = {name: await reflected(gateway, version, file_containing_symbol=name) for name in symbols}
        unknown = [
            await reflected(gateway, version, file_containing_symbol=f"aimanager.v1.{name}")
            for name in ("Nobody", "GenerationService.Nothing")
        ]
        file = await reflected(gateway, version, file_by_filename="grpc/reflection/v1/reflection.proto")

    served = {service.name for service in gateway.server.services}
    assert names == served | {f"grpc.reflection.{one}.ServerReflection" for one in ("v1", "v1alpha")}
    assert {name for name, one in found.items() if not one.file_descriptor_response.file_descriptor_proto} == set()
    assert [one.error_response.error_code for one in unknown] == [grpc.StatusCode.NOT_FOUND.value[0]] * 2
    assert b"grpc.reflection.v1" in file.file_descriptor_response.file_descriptor_proto[0]


async def test_undecodable_bytes_in_a_request_stream_are_an_invalid_argument() -> None:
    async with running(build_server(settings=server_settings({"reflection": True}))) as gateway:
        method: Any = gateway.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        failure = await failure_of(method(iter([b"\xff\xff\xff"])))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_is_disabled_by_default() -> None:
    async with running(build_server()) as gateway:
        stub = ServerReflectionStub(gateway.channel)
        failure = await failure_of(stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")])))

    assert failure.code is grpc.StatusCode.UNIMPLEMENTED
