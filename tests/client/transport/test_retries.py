"""Retries of the gateway's own errors, over a real channel."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from aimanager import (
    AIConfig,
    AIError,
    AIManager,
    AsyncAIManager,
    ConfigurationError,
    RateLimitError,
)
from aimanager.options import ConnectionOptions
from aimanager.types.usage import Attempt
from aimanager.v1.embedding_pb2 import EmbedResponse
from tests.support.fake_gateway.messages import error_status, make_response
from tests.support.fake_gateway.server import ErrorStatus, FakeGateway

Code = grpc.StatusCode


def failure(fake: FakeGateway, ai: AIManager, status: ErrorStatus) -> AIError:
    fake.respond("Generate", status)
    with pytest.raises(AIError) as raised:
        ai.request("Hi")
    return raised.value


UNAVAILABLE = error_status(Code.UNAVAILABLE, "OVERLOADED", retryable=True)
RATE_LIMIT = error_status(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.001)


def test_retry_has_the_same_idempotency_key(fake: FakeGateway, ai: AIManager) -> None:
    trailers = (*UNAVAILABLE.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.respond("Generate", ErrorStatus(UNAVAILABLE.code, UNAVAILABLE.message, trailers), make_response())

    assert ai.request("Hi").content == "Hello."
    assert len(fake.received) == 2
    assert len({call.request.idempotency_key for call in fake.received}) == 1


def test_embedding_is_retried_with_the_same_idempotency_key(fake: FakeGateway, ai: AIManager) -> None:
    trailers = (*UNAVAILABLE.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.respond("Embed", ErrorStatus(UNAVAILABLE.code, UNAVAILABLE.message, trailers), EmbedResponse())

    ai.embed("a")

    assert len(fake.received) == 2
    assert len({call.request.idempotency_key for call in fake.received}) == 1


def test_large_request_is_retried(fake: FakeGateway, ai: AIManager) -> None:
    trailers = (*UNAVAILABLE.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.respond("Generate", ErrorStatus(UNAVAILABLE.code, UNAVAILABLE.message, trailers), make_response())

    ai.request("x" * 2**20)

    assert len(fake.received) == 2


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (3, 4)])
def test_retries_count_attempts_after_the_first(fake: FakeGateway, retries: int, attempts: int) -> None:
    trailers = (*UNAVAILABLE.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.respond("Generate", ErrorStatus(UNAVAILABLE.code, UNAVAILABLE.message, trailers))

    with AIManager("", "mock", target=fake.target, retries=retries) as ai, pytest.raises(AIError):
        ai.request("Hi")

    assert len(fake.received) == attempts


def test_provider_error_is_not_retried(fake: FakeGateway, ai: AIManager) -> None:
    failure(fake, ai, error_status(Code.UNAVAILABLE, "PROVIDER_OVERLOADED", retry_after=0.001))

    assert len(fake.received) == 1


def test_rate_limit_is_retried_with_the_same_idempotency_key(fake: FakeGateway, ai: AIManager) -> None:
    fake.respond("Generate", RATE_LIMIT, make_response())

    response = ai.request("Hi")

    assert response.content == "Hello."
    assert response.attempts[0] == Attempt("", "", "RATE_LIMITED", duration=0.001)
    assert len({call.request.idempotency_key for call in fake.received}) == 1


@pytest.mark.parametrize("options", [ConnectionOptions(), ConnectionOptions(max_wait=0.0)])
def test_rate_limit_beyond_max_wait_is_raised(fake: FakeGateway, options: ConnectionOptions) -> None:
    retry_after = 10.001 if not options else 0.001
    fake.respond("Generate", error_status(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=retry_after))

    with AIManager.gateway(fake.target, **options) as ai, pytest.raises(RateLimitError) as raised:
        ai.request("Hi")

    assert raised.value.retry_after == retry_after
    assert len(fake.received) == 1


async def test_async_client_retries_a_rate_limit(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.respond("Generate", RATE_LIMIT, make_response())

    assert (await async_ai.request("Hi")).content == "Hello."


def test_second_rate_limit_is_raised(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, RATE_LIMIT)

    assert isinstance(raised, RateLimitError)
    assert len(fake.received) == 2


@pytest.mark.parametrize("retry_after", [None, 600.0])
def test_rate_limit_beyond_the_deadline_is_raised(fake: FakeGateway, ai: AIManager, retry_after: float | None) -> None:
    raised = failure(fake, ai, error_status(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=retry_after))

    assert raised.retry_after == retry_after
    assert len(fake.received) == 1


def test_zero_retries_disable_rate_limit_retries(fake: FakeGateway) -> None:
    config = AIConfig(retries=0)
    fake.respond("Generate", RATE_LIMIT)

    with AIManager("", "mock", config=config, target=fake.target) as ai, pytest.raises(RateLimitError):
        ai.request("Hi")

    assert len(fake.received) == 1


def test_negative_retry_delay_is_no_delay(fake: FakeGateway, ai: AIManager) -> None:
    status = error_status(
        Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", details=[error_details_pb2.RetryInfo(retry_delay=Duration(seconds=-5))]
    )
    fake.respond("Generate", status, make_response())

    assert ai.request("Hi").content == "Hello."


def test_request_has_a_timeout_of_600_seconds(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")

    assert 590 < fake.received[0].timeout < 610


def test_closed_client_raises(ai: AIManager) -> None:
    ai.close()
    ai.close()

    with pytest.raises(ConfigurationError, match="closed"):
        ai.request("Hi")


async def test_closed_async_client_raises(async_ai: AsyncAIManager) -> None:
    await async_ai.close()

    with pytest.raises(ConfigurationError, match="closed"):
        await async_ai.request("Hi")
