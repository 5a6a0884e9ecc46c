"""Scripts in anybody's prompt, sent to a real server: they concern only the call that contains them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from aimanager import AIError, AIManager, AIResponse
from aimanager_server import lifecycle
from tests.support.gateway import run_in_thread, settings_with, started_gateway

FAST_RETRIES = {"initial_backoff_seconds": 0.001, "max_retry_after_seconds": 0.1}
BREAKER = {"failure_threshold": 3}


@pytest.fixture
def ai() -> Iterator[AIManager]:
    settings = settings_with(providers={"mock": {}}, retry=FAST_RETRIES, circuit_breaker=BREAKER)
    with started_gateway(settings) as target, AIManager.gateway(target, model="mock/mock-large", retries=0) as client:
        yield client


def failure(ai: AIManager, prompt: str, **options: object) -> AIError:
    with pytest.raises(AIError) as caught:
        ai.request(prompt, **options)  # type: ignore[call-overload]  # a test passes options through
    return caught.value


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("[[error: PROVIDER_QUOTA_EXHAUSTED]]", "PROVIDER_QUOTA_EXHAUSTED"),
        ("[[error: PROVIDER_CREDENTIALS_INVALID]]", "PROVIDER_CREDENTIALS_INVALID"),
        ("[[error: PROVIDER_RATE_LIMITED retry_after=60]]", "PROVIDER_RATE_LIMITED"),
        ("[[error: PROVIDER_OVERLOADED]]", "PROVIDER_OVERLOADED"),
        ("[[cut: 0]]", "PROVIDER_PROTOCOL"),
        ("[[stall: 0]]", "FIRST_TOKEN_TIMEOUT"),
    ],
)
def test_scripted_faults_block_no_other_call(ai: AIManager, prompt: str, reason: str) -> None:
    reasons = [failure(ai, prompt, first_token_timeout=0.05).reason for _ in range(4)]
    answers = [ai.request("Hello", model=f"mock/mock-{size}").content for size in ("large", "medium", "small")]

    assert reasons == [reason] * 4
    assert all(answers)


def test_scripted_interruptions_block_no_other_stream(ai: AIManager) -> None:
    reasons = []
    for _ in range(4):
        with pytest.raises(AIError) as caught:
            list(ai.stream("[[words: 9]] [[cut: 3]]", on_interruption="fail").text)
        reasons.append(caught.value.reason)

    assert reasons == ["STREAM_INTERRUPTED"] * 4
    assert "".join(ai.stream("[[words: 2]]").text) == "word1 word2"


def test_scripted_faults_change_no_health_and_no_statistics(ai: AIManager) -> None:
    ai.request("Hello")
    for _ in range(4):
        failure(ai, "[[error: PROVIDER_OVERLOADED]]")
    ai.request("Hello [[latency: 0.2]]")

    [health] = ai.health.list(["mock"])
    [quality] = ai.health.assess(["mock"])

    assert (health.status, health.error_rate) == ("HEALTHY", 0.0)
    assert [model.sample_count for model in quality.models] == [1]


def test_scripted_errors_are_retried_without_spending_the_retry_budget(ai: AIManager) -> None:
    attempts = [len(failure(ai, "[[error: PROVIDER_OVERLOADED]]").attempts) for _ in range(12)]

    answer = ai.request("Hello [[error: PROVIDER_OVERLOADED times=1]]")

    assert attempts == [3] * 12
    assert [attempt.error_reason for attempt in answer.attempts] == ["PROVIDER_OVERLOADED", ""]


def test_scripted_errors_fall_back(ai: AIManager) -> None:
    prompt = "Hello [[error: PROVIDER_QUOTA_EXHAUSTED times=1]]"

    assert ai.request(prompt, fallback_models=["mock/mock-small"]).metadata.model == "mock-small"


def test_the_operator_makes_scripted_faults_count() -> None:
    settings = settings_with(
        providers={"mock": {"options": {"faults_count": True}}}, retry=FAST_RETRIES, circuit_breaker=BREAKER
    )
    with started_gateway(settings) as target, AIManager.gateway(target, model="mock/mock-large", retries=0) as ai:
        failure(ai, "[[error: PROVIDER_QUOTA_EXHAUSTED]]")

        assert failure(ai, "Hello", model="mock/mock-small").reason == "CIRCUIT_OPEN"


LARGE_SCRIPTS = {
    "words": ("[[words: 1000000]]" * 10, "INVALID_FIELD"),
    "hidden reasoning": ("[[think: 1000000]]" * 10, "INVALID_FIELD"),
    "a long reply": (f"[[reply: {'x ' * (15 * 1024 * 1024)}]]", "INVALID_FIELD"),
    "brackets": (f"[[reply: {'[]' * (15 * 1024 * 1024)}]]", "INVALID_FIELD"),
    "double brackets": ("[[" * (15 * 1024 * 1024), ""),
    "a long prompt": ("a " * (15 * 1024 * 1024), ""),
}
MAX_BLOCKED_SECONDS = {True: 0.1, False: 1.0}
"""CPU time; of a prompt of 30 MiB, gRPC, protobuf and the conversion of the request take a part."""


async def watch_event_loop(longest: list[float]) -> None:
    while True:
        before = time.thread_time()
        await asyncio.sleep(0.001)
        longest.append(time.thread_time() - before)


@pytest.mark.parametrize("name", LARGE_SCRIPTS)
def test_no_script_blocks_the_server(name: str) -> None:
    prompt, reason = LARGE_SCRIPTS[name]
    settings = settings_with(providers={"mock": {}})
    blocked: list[float] = []

    with (
        run_in_thread(lambda stack: stack.enter_async_context(lifecycle.running_server(settings))) as (server, loop),
        AIManager.gateway(f"127.0.0.1:{server.port}", model="mock/mock-large", retries=0) as ai,
    ):
        watch = asyncio.run_coroutine_threadsafe(watch_event_loop(blocked), loop)
        if reason:
            assert failure(ai, prompt).reason == reason
        else:
            assert ai.request(prompt).content
        watch.cancel()

    assert max(blocked, default=0.0) < MAX_BLOCKED_SECONDS[len(prompt) < 1_000]


def test_a_long_answer_delays_no_other_caller(ai: AIManager) -> None:
    with ThreadPoolExecutor(4) as pool:
        long = [pool.submit(ai.request, "[[words: 90000]]") for _ in range(4)]
        answers: list[AIResponse] = [ai.request("Hello") for _ in range(5)]

        assert all((answer.metadata.latency or 9) < 1 for answer in answers)
        assert all(future.result().usage.output_tokens == 90_000 for future in long)
