"""Authentication: tokens and provider keys are checked before anything else."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from aimanager.v1 import (
    conversation_pb2,
    embedding_pb2,
    generation_pb2,
    health_pb2,
    metrics_pb2,
    model_pb2,
    quality_pb2,
)
from aimanager_server.resilience.auth_backoff import AuthBackoff
from aimanager_server.rpc.interceptor_chain import GRPC_HEALTH_SERVICE
from tests.support.eventually import eventually
from tests.support.rpc import (
    CANARY,
    REQUEST,
    RecordingHandler,
    bearer,
    build_server,
    callers,
    running,
    server_settings,
    text_of,
)
from tests.support.rpc_errors import failure_of
from tests.support.tokens import token_of

GENERATE = "/aimanager.v1.GenerationService/Generate"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


class BlockingSleep:
    """Delays that last until `release` is set. `delays` are all of them, `waiting` those that last now."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.waiting = 0
        self.release = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.delays.append(seconds)
        self.waiting += 1
        try:
            await self.release.wait()
        finally:
            self.waiting -= 1


async def test_a_caller_without_a_token_learns_nothing_about_its_undecodable_request() -> None:
    async with running(build_server(settings=server_settings(callers=callers("ann")))) as gateway:
        failure = await failure_of(gateway.raw(GENERATE)(b"\xff\xff\xff"))

    assert failure.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_valid_token_identifies_the_caller() -> None:
    handler = RecordingHandler()
    async with running(build_server(handler, server_settings(callers=callers("ann", "bob")))) as gateway:
        await gateway.generation.Generate(REQUEST, metadata=bearer("bob"))

    assert (handler.calls[0].caller.name, handler.calls[0].caller.tier) == ("bob", "free")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ((), "Missing gateway token."),
        (bearer("mallory"), "Invalid gateway token."),
        ((("authorization", f"Basic {token_of('ann')}"),), "Invalid authorization header: expected 'Bearer TOKEN'."),
        ((("authorization", "Bearer "),), "Invalid authorization header: expected 'Bearer TOKEN'."),
        ((("authorization", token_of("ann")),), "Invalid authorization header: expected 'Bearer TOKEN'."),
        ((*bearer("ann"), *bearer("ann")), "Multiple authorization headers; send exactly one."),
        (
            (("authorization", "Bearer " + hashlib.sha256(token_of("ann").encode()).hexdigest()),),
            "Invalid gateway token.",
        ),
    ],
    ids=["missing", "wrong", "basic", "empty", "no scheme", "twice", "the digest itself"],
)
async def test_a_missing_or_invalid_token_is_rejected(metadata: tuple[tuple[str, str], ...], message: str) -> None:
    handler = RecordingHandler()
    async with running(build_server(handler, server_settings(callers=callers("ann")))) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=metadata))

    assert (failure.code, failure.reason, handler.calls) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID", [])
    assert failure.message == message


async def test_failed_authentication_is_delayed_and_a_valid_token_from_the_same_peer_never_is(
    log_events: list[dict[str, object]],
) -> None:
    sleep = BlockingSleep()
    settings = server_settings(callers=callers("ann"))
    async with running(build_server(settings=settings, backoff=AuthBackoff(time.monotonic, sleep))) as gateway:
        guesses = [
            asyncio.ensure_future(failure_of(gateway.generation.Generate(REQUEST, metadata=bearer(f"guess{number}"))))
            for number in range(100)
        ]
        await eventually(lambda: (len(sleep.delays), sum(guess.done() for guess in guesses)), (16, 84))
        response = await gateway.generation.Generate(REQUEST, metadata=bearer("ann"))
        refused = [guess.result() for guess in guesses if guess.done()]
        sleep.release.set()
        failures = await asyncio.gather(*guesses)

    assert text_of(response) == "Hello"
    assert Counter(failure.reason for failure in refused) == {"API_KEY_INVALID": 5, "RATE_LIMITED": 79}
    assert Counter(failure.reason for failure in failures) == {"API_KEY_INVALID": 21, "RATE_LIMITED": 79}
    assert {failure.code for failure in refused} == {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    assert (min(sleep.delays), max(sleep.delays)) == (0.1, 2.0)
    delayed = [event for event in log_events if event["event"] == "authentication.delayed"]
    assert [(event["peer"], event["failures"]) for event in delayed] == [("127.0.0.1", 6)]
    logged = Counter(event["reason"] for event in log_events if event["event"] == "rpc.failed")
    assert logged == {"API_KEY_INVALID": 21}


async def test_a_caller_that_stops_waiting_for_its_rejection_frees_its_place() -> None:
    sleep = BlockingSleep()
    settings = server_settings(callers=callers("ann"))
    async with running(build_server(settings=settings, backoff=AuthBackoff(time.monotonic, sleep))) as gateway:
        for _ in range(2):
            guesses = [gateway.generation.Generate(REQUEST, metadata=bearer("mallory")) for _ in range(30)]
            await eventually(lambda: sleep.waiting, 16)
            for guess in guesses:
                guess.cancel()
            await eventually(lambda: sleep.waiting, 0)


async def test_the_bearer_scheme_is_case_insensitive() -> None:
    handler = RecordingHandler()
    async with running(build_server(handler, server_settings(callers=callers("ann")))) as gateway:
        await gateway.generation.Generate(REQUEST, metadata=(("authorization", f"bearer {token_of('ann')}"),))

    assert handler.calls[0].caller.name == "ann"


async def test_an_invalid_token_is_rejected_even_if_anonymous_callers_are_accepted() -> None:
    settings = server_settings({"allow_anonymous": True}, callers=callers("ann"))
    async with running(build_server(settings=settings)) as gateway:
        response = await gateway.generation.Generate(REQUEST)
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=bearer("mallory")))

    assert text_of(response) == "Hello"
    assert failure.code is grpc.StatusCode.UNAUTHENTICATED


async def test_every_method_except_the_standard_health_service_requires_a_token() -> None:
    server = build_server(settings=server_settings({"reflection": True}, callers=callers("ann")))
    methods = [
        (service.full_name, method.name)
        for proto in (generation_pb2, conversation_pb2, embedding_pb2, model_pb2, health_pb2, quality_pb2, metrics_pb2)
        for service in proto.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    async with running(server) as gateway:
        failures = {}
        for service, method in methods:
            call: Any = gateway.channel.unary_stream(f"/{service}/{method}")
            failures[f"{service}/{method}"] = await failure_of(call(b""))
        reflection: Any = gateway.channel.stream_stream(REFLECTION)
        failures["reflection"] = await failure_of(reflection(iter([b""])))
        check = await HealthStub(gateway.channel).Check(HealthCheckRequest(service="readiness"))

    assert len(failures) == 22
    assert {name for name, one in failures.items() if one.code is not grpc.StatusCode.UNAUTHENTICATED} == set()
    assert check.status == HealthCheckResponse.SERVING
    assert {service for service, _ in methods} == {service.name for service in server.services} - {GRPC_HEALTH_SERVICE}


async def test_a_callers_provider_key_reaches_the_handler_but_no_log(
    log_events: list[dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    handler = RecordingHandler()
    async with running(build_server(handler)) as gateway:
        await gateway.generation.Generate(REQUEST, metadata=(("x-provider-key-claude", CANARY),))

    assert handler.calls[0].caller.provider_keys == {"claude": CANARY}
    assert CANARY not in repr(handler.calls) + repr(log_events) + caplog.text


async def test_provider_keys_are_rejected_if_the_operator_disabled_them(log_events: list[dict[str, object]]) -> None:
    async with running(build_server(settings=server_settings({"accept_caller_keys": False}))) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=(("x-provider-key-claude", CANARY),)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert "server.accept_caller_keys" in failure.detail(error_details_pb2.LocalizedMessage).message
    assert CANARY not in repr(failure.error) + repr(failure.trailers) + repr(log_events)


def _own_address() -> str:
    """An address of this machine that is not loopback; finding it sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(udp.getsockname()[0])


async def test_a_plaintext_provider_key_from_another_machine_is_rejected(log_events: list[dict[str, object]]) -> None:
    address = _own_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    server = build_server(settings=server_settings({"listen": "0.0.0.0:0", "allow_anonymous": True}))
    await server.start()
    async with grpc.aio.insecure_channel(f"{address}:{server.port}") as channel:
        generate: Any = channel.unary_unary(GENERATE, generation_pb2.GenerateRequest.SerializeToString)
        failure = await failure_of(generate(REQUEST, metadata=(("x-provider-key-claude", CANARY),)))
        response = await generate(REQUEST)
    await server.drain()

    assert failure.code is grpc.StatusCode.PERMISSION_DENIED
    assert CANARY not in repr(failure.error) + repr(failure.trailers) + repr(log_events)
    assert response


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
    ids=["too long", "space", "empty", "twice", "no provider", "binary", "too many"],
)
async def test_malformed_provider_keys_are_rejected(metadata: tuple[tuple[str, str | bytes], ...]) -> None:
    async with running(build_server()) as gateway:
        failure = await failure_of(gateway.generation.Generate(REQUEST, metadata=metadata))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert CANARY not in repr(failure.error)
