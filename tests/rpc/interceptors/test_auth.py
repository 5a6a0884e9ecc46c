"""Who calls, and with which keys, is decided before anything else."""

from __future__ import annotations

import hashlib
import socket
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import embedding_pb2, generation_pb2, health_pb2, model_pb2
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from aimanager_server.rpc.context import STANDARD_HEALTH
from aimanager_server.rpc.interceptors.auth import _is_local
from tests.support.rpc import CANARY, HELLO, QUESTION, bearer, build, callers, saying, serving, settings
from tests.support.rpc_errors import refusal

GENERATE = "/aimanager.v1.GenerationService/Generate"


class Noting:
    """A handler that answers and keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def __call__(self, call: Call) -> ResponseStream:
        """Answer."""
        self.calls.append(call)
        return await saying(*HELLO)(call)


async def test_strangers_learn_nothing_by_sending_garbage() -> None:
    async with serving(build(chosen=settings(callers=callers("ann")))) as world:
        seen = await refusal(world.raw(GENERATE)(b"\xff\xff\xff"))

    assert seen.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_known_token_names_the_caller() -> None:
    handler = Noting()
    async with serving(build(handler, settings(callers=callers("ann", "bob")))) as world:
        await world.generation.Generate(QUESTION, metadata=bearer("bob"))

    assert (handler.calls[0].caller.name, handler.calls[0].caller.tier) == ("bob", "free")


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        bearer("mallory"),
        (("authorization", "Basic token-of-ann"),),
        (("authorization", "Bearer "),),
        (("authorization", "token-of-ann"),),
        (*bearer("ann"), *bearer("ann")),
        (("authorization", "Bearer " + hashlib.sha256(b"token-of-ann").hexdigest()),),
    ],
    ids=["none", "wrong", "basic", "empty", "no scheme", "twice", "the digest itself"],
)
async def test_who_is_not_known_is_not_served(metadata: tuple[tuple[str, str], ...]) -> None:
    handler = Noting()
    async with serving(build(handler, settings(callers=callers("ann")))) as world:
        seen = await refusal(world.generation.Generate(QUESTION, metadata=metadata))

    assert (seen.code, seen.reason, handler.calls) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID", [])


async def test_the_scheme_may_be_written_in_any_case() -> None:
    handler = Noting()
    async with serving(build(handler, settings(callers=callers("ann")))) as world:
        await world.generation.Generate(QUESTION, metadata=(("authorization", "bearer token-of-ann"),))

    assert handler.calls[0].caller.name == "ann"


async def test_a_wrong_token_is_refused_where_anonymous_callers_are_served() -> None:
    async with serving(build(chosen=settings({"allow_anonymous": True}, callers=callers("ann")))) as world:
        answer = await world.generation.Generate(QUESTION)
        seen = await refusal(world.generation.Generate(QUESTION, metadata=bearer("mallory")))

    assert answer.message.parts[0].text == "Hello"
    assert seen.code is grpc.StatusCode.UNAUTHENTICATED


async def test_every_method_but_the_standard_health_service_asks_who_calls() -> None:
    server = build(chosen=settings({"reflection": True}, callers=callers("ann")))
    methods = [
        (service.full_name, method)
        for proto in (generation_pb2, embedding_pb2, model_pb2, health_pb2)
        for service in proto.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    async with serving(server) as world:
        answers = {}
        for service, method in methods:
            called: Any = world.channel.unary_stream(f"/{service}/{method.name}")
            answers[f"{service}/{method.name}"] = await refusal(called(b""))
        reflection: Any = world.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        answers["reflection"] = await refusal(reflection(iter([b""])))
        probe = await HealthStub(world.channel).Check(HealthCheckRequest(service="readiness"))

    assert len(answers) == 12
    assert {name for name, seen in answers.items() if seen.code is not grpc.StatusCode.UNAUTHENTICATED} == set()
    assert probe.status == HealthCheckResponse.SERVING
    assert {service for service, _ in methods} == {one.name for one in server.services if one.name != STANDARD_HEALTH}


async def test_a_callers_provider_key_goes_to_the_handler_and_nowhere_else(
    logged: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    handler = Noting()
    async with serving(build(handler)) as world:
        await world.generation.Generate(QUESTION, metadata=(("x-provider-key-claude", CANARY),))

    assert handler.calls[0].caller.provider_keys == {"claude": CANARY}
    assert CANARY not in repr(handler.calls) + repr(logged) + caplog.text


async def test_provider_keys_are_refused_where_the_operator_says_so(logged: list[dict[str, object]]) -> None:
    async with serving(build(chosen=settings({"caller_keys": False}))) as world:
        seen = await refusal(world.generation.Generate(QUESTION, metadata=(("x-provider-key-claude", CANARY),)))

    assert (seen.code, seen.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert "caller_keys" in seen.detail(error_details_pb2.LocalizedMessage).message
    assert CANARY not in repr(seen.error) + repr(seen.trailers) + repr(logged)


def _own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


async def test_a_provider_key_in_the_open_from_another_machine_is_refused(logged: list[dict[str, object]]) -> None:
    address = _own_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    server = build(chosen=settings({"listen": "0.0.0.0:0", "allow_anonymous": True}))
    await server.start()
    async with grpc.aio.insecure_channel(f"{address}:{server.port}") as channel:
        method: Any = channel.unary_unary(GENERATE, generation_pb2.GenerateRequest.SerializeToString)
        seen = await refusal(method(QUESTION, metadata=(("x-provider-key-claude", CANARY),)))
        plain = await method(QUESTION)
    await server.drain()

    assert seen.code is grpc.StatusCode.PERMISSION_DENIED
    assert CANARY not in repr(seen.error) + repr(seen.trailers) + repr(logged)
    assert plain


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:50000", True),
        ("ipv4:10.0.0.1:50000", False),
        ("ipv6:%5B::1%5D:50000", True),
        ("ipv6:[::ffff:127.0.0.1]:50000", True),
        ("ipv6:[::ffff:10.0.0.1]:50000", False),
        ("ipv6:[fe80::1%25eth0]:50000", False),
        ("unix:/run/socket", True),
        ("nonsense", False),
    ],
)
def test_local_peers_are_told_from_others(peer: str, local: bool) -> None:
    assert _is_local(peer) is local


@pytest.mark.parametrize(
    "metadata",
    [
        (("x-provider-key-claude", "k" * 1025),),
        (("x-provider-key-claude", "two words"),),
        (("x-provider-key-claude", ""),),
        (("x-provider-key-claude", CANARY), ("x-provider-key-claude", CANARY)),
        (("x-provider-key-", CANARY),),
        (("x-provider-key-claude-bin", b"\xff" + CANARY.encode()),),
        tuple((f"x-provider-key-p{number}", CANARY) for number in range(17)),
    ],
    ids=["long", "blank", "empty", "twice", "no provider", "binary", "many"],
)
async def test_provider_keys_that_cannot_be_are_refused(metadata: tuple[tuple[str, str | bytes], ...]) -> None:
    async with serving(build()) as world:
        seen = await refusal(world.generation.Generate(QUESTION, metadata=metadata))

    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert CANARY not in repr(seen.error)
