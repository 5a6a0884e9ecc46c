"""What is sent again, and how often."""

from __future__ import annotations

import re

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
from aimanager_server.errors import Internal  # noqa: F401  # loads the table
from tests.support.fake_gateway.server import FakeGateway, Refusal, answer, refusal

Code = grpc.StatusCode


def failure(fake: FakeGateway, ai: AIManager, refused: Refusal) -> AIError:
    fake.will("Generate", refused)
    with pytest.raises(AIError) as raised:
        ai.request("Hi")
    return raised.value


LOST = refusal(Code.UNAVAILABLE, "OVERLOADED", resend=True)
BUSY = refusal(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.001)


def test_a_lost_call_is_sent_again_with_the_same_idempotency_key(fake: FakeGateway, ai: AIManager) -> None:
    pushed = (*LOST.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.will("Generate", Refusal(LOST.code, LOST.message, pushed), answer())

    assert ai.request("Hi").content == "Hello."
    assert len(fake.received) == 2
    assert len({call.request.idempotency_key for call in fake.received}) == 1


def test_a_large_request_is_sent_again_too(fake: FakeGateway, ai: AIManager) -> None:
    pushed = (*LOST.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.will("Generate", Refusal(LOST.code, LOST.message, pushed), answer())

    ai.request("x" * 2**20)

    assert len(fake.received) == 2


@pytest.mark.parametrize(("retries", "sendings"), [(0, 1), (1, 2), (3, 4)])
def test_retries_are_sendings_after_the_first(fake: FakeGateway, retries: int, sendings: int) -> None:
    pushed = (*LOST.trailers, ("grpc-retry-pushback-ms", "1"))
    fake.will("Generate", Refusal(LOST.code, LOST.message, pushed))

    with AIManager("", "mock", target=fake.target, retries=retries) as ai, pytest.raises(AIError):
        ai.request("Hi")

    assert len(fake.received) == sendings


def test_a_provider_failure_is_not_sent_again(fake: FakeGateway, ai: AIManager) -> None:
    failure(fake, ai, refusal(Code.UNAVAILABLE, "PROVIDER_OVERLOADED", retry_after=0.001))

    assert len(fake.received) == 1


def test_a_rate_limit_is_waited_for_once(fake: FakeGateway, ai: AIManager) -> None:
    fake.will("Generate", BUSY, answer())

    assert ai.request("Hi").content == "Hello."
    assert len({call.request.idempotency_key for call in fake.received}) == 1


async def test_the_async_client_waits_for_a_rate_limit(fake: FakeGateway, async_ai: AsyncAIManager) -> None:
    fake.will("Generate", BUSY, answer())

    assert (await async_ai.request("Hi")).content == "Hello."


def test_a_second_rate_limit_is_raised(fake: FakeGateway, ai: AIManager) -> None:
    raised = failure(fake, ai, BUSY)

    assert isinstance(raised, RateLimitError)
    assert len(fake.received) == 2


@pytest.mark.parametrize("retry_after", [None, 600.0])
def test_a_rate_limit_that_does_not_fit_is_raised_at_once(
    fake: FakeGateway, ai: AIManager, retry_after: float | None
) -> None:
    raised = failure(fake, ai, refusal(Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=retry_after))

    assert raised.retry_after == retry_after
    assert len(fake.received) == 1


def test_no_retries_means_no_waiting_for_a_rate_limit(fake: FakeGateway) -> None:
    config = AIConfig(retries=0)
    fake.will("Generate", BUSY)

    with AIManager("", "mock", config=config, target=fake.target) as ai, pytest.raises(RateLimitError):
        ai.request("Hi")

    assert len(fake.received) == 1


def test_a_negative_pause_is_no_pause(fake: FakeGateway, ai: AIManager) -> None:
    odd = refusal(
        Code.RESOURCE_EXHAUSTED, "RATE_LIMITED", details=[error_details_pb2.RetryInfo(retry_delay=Duration(seconds=-5))]
    )
    fake.will("Generate", odd, answer())

    assert ai.request("Hi").content == "Hello."


def test_requests_have_600_seconds(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi")

    assert 590 < fake.received[0].seconds < 610


def test_a_closed_client_says_so(ai: AIManager) -> None:
    ai.close()
    ai.close()

    with pytest.raises(ConfigurationError, match="closed"):
        ai.request("Hi")


async def test_a_closed_async_client_says_so(async_ai: AsyncAIManager) -> None:
    await async_ai.close()

    with pytest.raises(ConfigurationError, match=re.escape("closed")):
        await async_ai.request("Hi")
