"""A gateway whose provider leads back to it notices its own call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from aimanager.v1 import content_pb2, generation_pb2
from aimanager.v1.generation_pb2_grpc import GenerationServiceStub
from tests.support.gateway import settings_with, started_gateway
from tests.support.loop_shim import LoopShim, loop_shim
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of

HI = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[content_pb2.Part(text="Hi")])


def provider_behind(shim: LoopShim) -> dict[str, Any]:
    return {"wire": "chat_completions", "base_url": shim.url, "api_key": "k", "models": ["m"]}


def generate(target: str, model: str, *metadata: tuple[str, str]) -> generation_pb2.GenerateResponse:
    request = generation_pb2.GenerateRequest(model=model, messages=[HI])
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        answer: generation_pb2.GenerateResponse = GenerationServiceStub(channel).Generate(
            request, metadata=metadata, timeout=10
        )
        return answer


def test_a_gateway_rejects_a_call_that_it_made_itself() -> None:
    with loop_shim("again/m") as shim:
        settings = settings_with(providers={"again": provider_behind(shim)})
        with started_gateway(settings) as shim.target:
            failure = sync_failure_of(lambda: generate(shim.target, "again/m"))

    assert [inner.reason for inner in shim.failures] == ["LOOP_DETECTED"]
    assert shim.failures[0].code is grpc.StatusCode.FAILED_PRECONDITION
    assert shim.failures[0].metadata["hops"] == "1"
    assert "The call came back to this gateway" in failure.message


def test_a_loop_over_two_gateways_is_detected() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(loop_shim(f"{name}/m")) for name in ("second", "first"))
        settings = [
            settings_with(providers={name: provider_behind(shim)})
            for name, shim in (("first", first), ("second", second))
        ]
        # The provider `first` of one gateway leads to the other, whose provider `second` leads back.
        start = stack.enter_context(started_gateway(settings[0]))
        first.target = stack.enter_context(started_gateway(settings[1]))
        second.target = start

        sync_failure_of(lambda: generate(start, "first/m"))

    assert (first.requests, second.requests) == (1, 1)
    assert [failure.reason for failure in second.failures] == ["LOOP_DETECTED"]
    assert second.failures[0].metadata["hops"] == "2"


def test_a_gateway_may_call_another_one() -> None:
    with loop_shim("mock/latest") as shim:
        outer = settings_with(providers={"other": provider_behind(shim)})
        with started_gateway(settings_with()) as shim.target, started_gateway(outer) as target:
            answer = generate(target, "other/m")

    assert answer.message.parts[0].text
    assert shim.failures == []


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


@pytest.mark.parametrize(
    ("hops", "reason"),
    [
        (",".join(f"g{number}" for number in range(8)), "LOOP_DETECTED"),
        (",".join(["g"] * 1000), "LOOP_DETECTED"),
        ("g1, ,g2", "INVALID_FIELD"),
        ("x" * 65, "INVALID_FIELD"),
    ],
)
def test_too_many_hops_and_invalid_ones_are_rejected(gateway: RunningGateway, hops: str, reason: str) -> None:
    stub = GenerationServiceStub(gateway.channel)
    request = generation_pb2.GenerateRequest(model="mock/latest", messages=[HI])

    failure = sync_failure_of(lambda: stub.Generate(request, metadata=(("x-aimanager-hops", hops),), timeout=10))

    assert failure.reason == reason


def test_up_to_seven_gateways_may_come_before(gateway: RunningGateway) -> None:
    stub = GenerationServiceStub(gateway.channel)
    request = generation_pb2.GenerateRequest(model="mock/latest", messages=[HI])

    hops = ",".join(f"g{number}" for number in range(7))

    assert stub.Generate(request, metadata=(("x-aimanager-hops", hops),), timeout=10).message.parts
