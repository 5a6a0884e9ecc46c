"""Error translation: status codes, details, and their size limits."""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc
import grpc.aio
from google.rpc import error_details_pb2

from aimanager.v1 import generation_pb2, usage_pb2
from aimanager_server.core import errors
from aimanager_server.core.attempts import AttemptRecord
from aimanager_server.core.errors import FieldViolation, GatewayError, all_errors
from aimanager_server.core.request import Call
from aimanager_server.core.stream import ResponseStream
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.resilience.rejection_pacer import RejectionPacer
from aimanager_server.rpc.status import MAX_TRAILER_BYTES
from tests.support.calls import ended_record
from tests.support.paths import ROOT
from tests.support.rpc import HELLO_EVENTS, REQUEST, STREAM_REQUEST, answering, build_server, raising, running
from tests.support.rpc_errors import RpcFailure, failure_of

SERVICE_CONFIG = ROOT / "clients/python/aimanager/service_config.json"
ERRORS = [kind for kind in all_errors() if kind.spec.reason]
REQUEST_ID = ("x-request-id", "r-1")


async def fail_with(
    error: BaseException, *metadata: tuple[str, str], attempts: Sequence[AttemptRecord] = ()
) -> RpcFailure:
    async with running(build_server(raising(error, attempts))) as gateway:
        return await failure_of(gateway.generation.Generate(REQUEST, metadata=metadata))


async def test_every_error_has_its_code_reason_solution_and_pushback() -> None:
    failures = {kind: await fail_with(kind("It failed.", provider="claude", model="m"), REQUEST_ID) for kind in ERRORS}

    for kind, failure in failures.items():
        info = failure.detail(error_details_pb2.ErrorInfo)
        solution = failure.detail(error_details_pb2.LocalizedMessage)
        assert (failure.code.name, info.reason, info.domain) == (kind.spec.code, kind.spec.reason, "aimanager.dev")
        assert (solution.locale, solution.message) == ("en", kind.spec.solution)
        assert failure.metadata == {"requestId": "r-1", "provider": "claude", "model": "m"}
        assert failure.message == "It failed."
        assert failure.trailers["grpc-retry-pushback-ms"] == ("1000" if kind.spec.client_may_retry else "-1")


class CountingPacer(RejectionPacer):
    """Counts the rejections, which do not wait."""

    rejections = 0

    async def wait(self) -> None:
        self.rejections += 1


async def test_only_calls_that_the_gateway_itself_rejects_are_paced() -> None:
    paced = {}
    for kind in ERRORS:
        pacer = CountingPacer()
        async with running(build_server(raising(kind("It failed.")), pacer=pacer)) as gateway:
            await failure_of(gateway.generation.Generate(REQUEST))
        paced[kind] = pacer.rejections

    assert {kind for kind, count in paced.items() if count} == {
        errors.Overloaded, errors.RateLimited, errors.Unauthenticated, errors.TokenExpired
    }  # fmt: skip
    assert set(paced.values()) == {0, 1}


async def test_an_error_carries_all_of_its_details() -> None:
    error = errors.ProviderRateLimited(
        "Too fast.", provider="claude", model="m", retry_after=1.5, upstream_status=429, metadata={"limit": "60"}
    )
    usage = Usage(3, 2, source=UsageSource.ESTIMATED)

    failure = await fail_with(error, attempts=[ended_record("claude", "m", "PROVIDER_RATE_LIMITED", 0.25, usage)])

    assert failure.metadata.items() >= {"upstreamStatus": "429", "attempts": "1", "limit": "60"}.items()
    assert failure.detail(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() == 1.5
    assert failure.detail(error_details_pb2.QuotaFailure).violations[0].subject == "claude"
    assert failure.detail(generation_pb2.Execution).attempts[0].error_reason == "PROVIDER_RATE_LIMITED"
    assert failure.detail(usage_pb2.Usage).output_tokens == 2


async def test_a_quota_failure_names_subject_and_quota() -> None:
    error = errors.RateLimited("Slow.", metadata={"subject": "ann", "quota": "requests_per_minute", "limit": "60"})

    failure = await fail_with(error)

    violation = failure.detail(error_details_pb2.QuotaFailure).violations[0]
    assert (violation.subject, violation.description) == ("ann", "requests_per_minute 60")


async def test_invalid_credentials_are_a_precondition_failure_of_the_provider() -> None:
    failure = await fail_with(errors.ProviderCredentialsInvalid("The key was refused.", provider="claude"))

    violation = failure.detail(error_details_pb2.PreconditionFailure).violations[0]
    assert (violation.type, violation.subject) == ("PROVIDER_CREDENTIALS_INVALID", "claude")


def oversized_error() -> GatewayError:
    return errors.ProviderQuotaExhausted(
        "模型\n\udc80\0%" * 3000,
        solution="解" * 5000,
        provider="p" * 4000,
        model="\ud83d" * 4000,
        retry_after=3.0,
        violations=tuple(FieldViolation(f"messages[{index}].文", "wrong\n" * 50) for index in range(2000)),
        metadata={f"key{index}": "値" * 100 for index in range(300)} | {"no key\n": "x", "k" * 70: "x"},
        usage=Usage(2**40, -1),
    )


async def test_an_oversized_error_stays_within_the_trailer_limit_and_readable() -> None:
    attempts = [ended_record("p" * 999, "m" * 999, "PROVIDER_ERROR", 1.0) for _ in range(500)]

    failure = await fail_with(oversized_error(), attempts=attempts)

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_QUOTA_EXHAUSTED")
    assert len(failure.trailers["grpc-status-details-bin"]) <= MAX_TRAILER_BYTES
    assert failure.detail(error_details_pb2.LocalizedMessage).message.endswith("…")
    assert str(failure.error.details()).startswith("模型\n")


async def test_sixteen_long_violations_are_all_listed() -> None:
    violations = tuple(FieldViolation(f"request.messages[{n}].parts[999].text", "wrong " * 99) for n in range(16))

    failure = await fail_with(errors.InvalidRequest("Wrong.", violations=violations))

    assert list(failure.fields) == [violation.field for violation in violations]


async def test_long_lists_of_details_are_shortened_until_they_fit() -> None:
    error = errors.InvalidRequest(
        "Wrong.", violations=tuple(FieldViolation(f"f{n}", "wrong " * 10) for n in range(100))
    )
    attempts = [ended_record("claude", f"m{n}", "PROVIDER_ERROR", 1.0) for n in range(40)]

    failure = await fail_with(error, attempts=attempts)

    assert next(iter(failure.fields)) == "f0"
    assert 10 < len(failure.fields) < 100
    assert len(failure.detail(generation_pb2.Execution).attempts) < 40


async def test_the_client_does_not_retry_provider_errors() -> None:
    calls: list[Call] = []

    async def handle(call: Call) -> ResponseStream:
        calls.append(call)
        raise errors.ProviderOverloaded("Busy.", retry_after=0.0)

    async with running(build_server(handle), ("grpc.service_config", SERVICE_CONFIG.read_text())) as gateway:
        await failure_of(gateway.generation.Generate(REQUEST))
        await failure_of(gateway.generation.StreamGenerate(STREAM_REQUEST))

    assert len(calls) == 2


async def test_the_client_retries_an_overloaded_gateway() -> None:
    calls: list[Call] = []

    async def handle(call: Call) -> ResponseStream:
        calls.append(call)
        if len(calls) == 1:
            raise errors.Overloaded("Full.", retry_after=0.001)
        return await answering(*HELLO_EVENTS)(call)

    async with running(build_server(handle), ("grpc.service_config", SERVICE_CONFIG.read_text())) as gateway:
        response = await gateway.generation.Generate(REQUEST)

    assert (len(calls), response.message.parts[0].text) == (2, "Hello")


def test_the_service_config_retries_only_unavailable() -> None:
    config = json.loads(SERVICE_CONFIG.read_text())

    codes = [method["retryPolicy"]["retryableStatusCodes"] for method in config["methodConfig"]]
    assert all(code == ["UNAVAILABLE"] for code in codes)
