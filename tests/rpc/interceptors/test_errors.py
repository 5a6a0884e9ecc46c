"""Every fault reaches the client as a status it can read."""

from __future__ import annotations

import json

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2

from aimanager.v1 import generation_pb2, usage_pb2
from aimanager_server.core import errors
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.errors import FieldViolation, GatewayError, all_errors
from aimanager_server.core.request import Call
from aimanager_server.core.response import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.rpc.status import TRAILER_BYTES
from tests.support.paths import ROOT
from tests.support.rpc import HELLO, QUESTION, STREAMED, build, failing, saying, serving
from tests.support.rpc_errors import Refusal, refusal

SERVICE_CONFIG = ROOT / "clients/python/aimanager/service_config.json"


FAULTS = [fault for fault in all_errors() if fault.spec.reason]


async def failure(error: BaseException, *metadata: tuple[str, str]) -> Refusal:
    async with serving(build(failing(error))) as world:
        return await refusal(world.generation.Generate(QUESTION, metadata=metadata))


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
async def test_every_fault_has_its_code_reason_and_solution(kind: type[GatewayError]) -> None:
    seen = await failure(kind("It failed.", provider="claude", model="m"), ("x-request-id", "r-1"))

    solution = seen.detail(error_details_pb2.LocalizedMessage)
    info = seen.detail(error_details_pb2.ErrorInfo)
    assert (seen.code.name, info.reason, info.domain) == (kind.spec.code, kind.spec.reason, "aimanager.dev")
    assert (solution.locale, solution.message) == ("en", kind.spec.solution)
    assert seen.metadata == {"requestId": "r-1", "provider": "claude", "model": "m"}
    assert seen.error.details() == "It failed."


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
async def test_only_what_may_be_resent_has_a_positive_pushback(kind: type[GatewayError]) -> None:
    seen = await failure(kind("It failed."))

    assert seen.trailers["grpc-retry-pushback-ms"] == ("1000" if kind.spec.client_may_retry else "-1")


async def test_all_that_is_known_of_a_fault_is_said() -> None:
    fault = errors.ProviderRateLimited(
        "Too fast.", provider="claude", model="m", retry_after=1.5, upstream_status=429, metadata={"limit": "60"}
    )
    fault.attempts = (AttemptRecord("claude", "m", "PROVIDER_RATE_LIMITED", 0.25),)
    fault.usage = Usage(3, 2, source=UsageSource.ESTIMATED)

    seen = await failure(fault)

    assert seen.metadata.items() >= {"upstreamStatus": "429", "attempts": "1", "limit": "60"}.items()
    assert seen.detail(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() == 1.5
    assert seen.detail(error_details_pb2.QuotaFailure).violations[0].subject == "claude"
    assert seen.detail(generation_pb2.Route).attempts[0].error_reason == "PROVIDER_RATE_LIMITED"
    assert seen.detail(usage_pb2.Usage).output_tokens == 2


async def test_a_limit_names_who_and_which_quota() -> None:
    fault = errors.RateLimited("Slow.", metadata={"subject": "ann", "quota": "requests_per_minute", "limit": "60"})

    seen = await failure(fault)

    violation = seen.detail(error_details_pb2.QuotaFailure).violations[0]
    assert (violation.subject, violation.description) == ("ann", "requests_per_minute 60")


async def test_refused_credentials_are_a_failed_precondition_of_the_provider() -> None:
    seen = await failure(errors.ProviderCredentialsInvalid("The key was refused.", provider="claude"))

    violation = seen.detail(error_details_pb2.PreconditionFailure).violations[0]
    assert (violation.type, violation.subject) == ("PROVIDER_CREDENTIALS_INVALID", "claude")


def hostile() -> GatewayError:
    fault = errors.ProviderQuotaExhausted(
        "模型\n\udc80\0%" * 3000,
        solution="解" * 5000,
        provider="p" * 4000,
        model="\ud83d" * 4000,
        retry_after=3.0,
        violations=tuple(FieldViolation(f"messages[{index}].文", "wrong\n" * 50) for index in range(2000)),
        metadata={f"key{index}": "値" * 100 for index in range(300)} | {"no key\n": "x", "k" * 70: "x"},
    )
    fault.attempts = tuple(AttemptRecord("p" * 999, "m" * 999, "PROVIDER_ERROR", 1.0) for _ in range(500))
    fault.usage = Usage(2**40, -1)
    return fault


async def test_a_hostile_fault_stays_below_the_metadata_limit_and_readable() -> None:
    seen = await failure(hostile())

    assert (seen.code, seen.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_QUOTA_EXHAUSTED")
    assert len(seen.trailers["grpc-status-details-bin"]) <= TRAILER_BYTES
    assert seen.detail(error_details_pb2.LocalizedMessage).message.endswith("…")
    assert str(seen.error.details()).startswith("模型\n")


async def test_long_lists_are_cut_to_what_fits() -> None:
    fault = errors.InvalidRequest(
        "Wrong.", violations=tuple(FieldViolation(f"f{n}", "wrong " * 10) for n in range(100))
    )
    fault.attempts = tuple(AttemptRecord("claude", f"m{n}", "PROVIDER_ERROR", 1.0) for n in range(40))

    seen = await failure(fault)

    assert next(iter(seen.fields)) == "f0"
    assert 10 < len(seen.fields) < 100
    assert len(seen.detail(generation_pb2.Route).attempts) < 40


async def test_what_the_gateway_gave_up_on_is_not_sent_again_by_the_client() -> None:
    seen: list[Call] = []

    async def handle(call: Call) -> ResponseStream:
        seen.append(call)
        raise errors.ProviderOverloaded("Busy.", retry_after=0.0)

    async with serving(build(handle), ("grpc.service_config", SERVICE_CONFIG.read_text())) as world:
        await refusal(world.generation.Generate(QUESTION))
        await refusal(world.generation.StreamGenerate(STREAMED))

    assert len(seen) == 2


async def test_an_overloaded_gateway_is_asked_again_by_the_client() -> None:
    seen: list[Call] = []

    async def handle(call: Call) -> ResponseStream:
        seen.append(call)
        if len(seen) == 1:
            raise errors.Overloaded("Full.", retry_after=0.001)
        return await saying(*HELLO)(call)

    async with serving(build(handle), ("grpc.service_config", SERVICE_CONFIG.read_text())) as world:
        answer = await world.generation.Generate(QUESTION)

    assert (len(seen), answer.message.parts[0].text) == (2, "Hello")


def test_the_service_config_resends_unavailable_alone() -> None:
    config = json.loads(SERVICE_CONFIG.read_text())

    codes = [method["retryPolicy"]["retryableStatusCodes"] for method in config["methodConfig"]]
    assert all(code == ["UNAVAILABLE"] for code in codes)
