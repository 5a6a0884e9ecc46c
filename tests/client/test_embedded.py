"""The server in the process of its client: where calls go, what it takes from the process, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sys
import threading
import urllib.request
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from aimanager import (
    AIConfig,
    AIError,
    AIManager,
    AIResponse,
    AsyncAIManager,
    ConfigurationError,
    InvalidRequestError,
    RateLimitError,
)
from aimanager.v1 import usage_pb2
from aimanager.v1.generation_pb2 import GenerateRequest
from tests.support.eventually import eventually
from tests.support.fake_gateway.server import FakeGateway
from tests.support.http_servers.recording import recording_upstream
from tests.support.paths import FIXTURES

KEY = "sk-ant-s3cret-0123456789"
ENDLESS = "[[words: 100000]] [[rate: 100]]"


@pytest.fixture
def ai() -> Iterator[AIManager]:
    with AIManager("key", provider="mock") as client:
        yield client


async def until_in_flight(client: AsyncAIManager, count: int) -> None:
    for _ in range(2000):
        if (await client.metrics.get_summary()).requests_in_flight == count:
            return
    raise AssertionError(f"never {count} in flight")


def server_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aimanager-server"]


# where calls go


def test_without_a_target_calls_go_to_a_server_in_this_process(ai: AIManager) -> None:
    answer = ai.request("[[reply: Hello.]]")

    assert (answer.content, answer.metadata.provider, answer.cost is not None) == ("Hello.", "mock", True)
    assert ai.target == "in process"
    assert repr(ai) == "AIManager(target='in process', model='mock/latest')"


def test_a_target_of_the_environment_comes_before_this_process(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMANAGER_TARGET", fake.target)

    with AIManager("key", provider="mock") as ai, AIManager.embedded(provider="mock") as embedded:
        assert ai.request("Hi").content == "Hello."
        assert (ai.target, embedded.target) == (fake.target, "in process")


def test_without_the_packages_of_the_server_calls_go_to_the_default_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "structlog", None)

    assert AIManager("key", provider="mock").target == "127.0.0.1:50051"
    with pytest.raises(ConfigurationError, match="the package structlog is missing") as rejected:
        AIManager.embedded(provider="mock")
    assert "pip install 'aimanager[server]'" in rejected.value.solution


def test_options_of_a_connection_need_a_target() -> None:
    with pytest.raises(ConfigurationError, match=r"^token applies to a gateway") as rejected:
        AIManager(KEY, token="t0ken")

    assert "AIMANAGER_TARGET" in rejected.value.solution


# configuration and keys


def test_the_key_is_sent_to_its_provider_only() -> None:
    answer = (FIXTURES / "anthropic/text/response.json").read_bytes()
    with recording_upstream(lambda *_: answer) as upstream:
        config = AIConfig(provider="claude", base_url=upstream.url)
        with AIManager(KEY, config=config) as ai:
            assert ai.request("Hi").metadata.provider == "claude"
            with pytest.raises(AIError, match="API key"):
                ai.request("Hi", model="openai/latest")

    assert [headers["x-api-key"] for headers in upstream.headers] == [KEY]


def test_an_unknown_provider_with_an_address_is_a_chat_completions_server() -> None:
    answer = (FIXTURES / "openai/text.json").read_bytes()
    with (
        recording_upstream(lambda *_: answer) as upstream,
        AIManager(KEY, "ours", "some-model", AIConfig(base_url=f"{upstream.url}/v1")) as ai,
    ):
        assert ai.request("Hi").metadata.provider == "ours"

    assert [path for path, _ in upstream.requests] == ["/v1/chat/completions"]
    assert upstream.requests[0][1]["model"] == "some-model"
    assert [headers["authorization"] for headers in upstream.headers] == [f"Bearer {KEY}"]


@pytest.mark.parametrize("form", ["path", "content", "environment"])
def test_the_server_is_configured_as_any_server(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = [{"match": "", "answer": "From the file."}]
    path = tmp_path / "aimanager.toml"
    path.write_text(f"[providers.mock.options]\nscripts = [{{ match = '', answer = '{scripts[0]['answer']}' }}]\n")
    if form == "environment":
        monkeypatch.setenv("AIMANAGER_CONFIG", str(path))
    configs: dict[str, Any] = {
        "path": path,
        "content": {"providers": {"mock": {"options": {"scripts": scripts}}}},
        "environment": None,
    }

    with AIManager.embedded(model="mock/fast", config=configs[form]) as ai:
        assert ai.request("Hi").content == "From the file."


def test_an_invalid_configuration_is_reported_where_the_client_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"retry\.max_attempts .*must be an integer") as rejected:
        AIManager.embedded(config={"retry": {"max_attempts": "x"}})
    assert rejected.value.solution.startswith("Correct the configuration of the server in this process")

    monkeypatch.setenv("AIMANAGER_RETRY__MAX_ATTEMPTS", "x")
    with pytest.raises(ConfigurationError, match="environment:AIMANAGER_RETRY__MAX_ATTEMPTS"):
        AIManager("key", provider="mock")


def test_a_server_that_cannot_start_fails_its_calls() -> None:
    config = {"routes": {"chat": {"targets": ["nobody/nothing"]}}}

    with AIManager.embedded(config=config) as ai:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"Cannot start the server in this process: .*nobody"):
                ai.request("Hi", model="chat")


def test_callers_and_listeners_of_a_shared_configuration_do_not_apply() -> None:
    config = {
        "server": {"listen": "[::]:50051", "max_in_flight": 3},
        "callers": {"a": {"tokens": [{"id": "a1", "sha256": "0" * 64}], "tier": "gold"}},
        "tiers": {"gold": {"requests_per_minute": 1}},
    }

    with AIManager.embedded(provider="mock", config=config) as ai, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ai.request("[[latency: 0.01]] [[reply: Hi]]").content, range(12)))

    assert answers == ["Hi"] * 12  # calls beyond max_in_flight wait


def test_switches_turn_parts_off_and_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aimanager.server")
    limited = {"tiers": {"free": {"requests_per_minute": 1}}}

    with AIManager.embedded(provider="mock", config=limited, retries=0) as ai:
        ai.request("Hi")
        with pytest.raises(RateLimitError):
            ai.request("Hi")
        summary = ai.metrics.get_summary()
    assert (summary.requests_total, summary.requests_error) == (2, 1)
    assert not caplog.records

    with AIManager.embedded(
        provider="mock", config=limited, enable_rate_limiting=False, enable_metrics=False, enable_logging=True,
        enable_health_checks=False,
    ) as ai:  # fmt: skip
        ai.request("Hi")
        ai.request("Hi")
        with pytest.raises(ConfigurationError, match="enable_metrics is False"):
            ai.metrics.get_summary()
    events = [record.getMessage() for record in caplog.records]
    assert [event.partition(" ")[0] for event in events] == ["request.completed"] * 2
    assert "model='mock-large'" in events[0]
    assert "request_id=" in events[0]


@pytest.mark.parametrize("enabled", [True, None])
def test_the_metrics_endpoint_of_the_configuration_is_open_only_on_request(
    enabled: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aimanager.server")
    config = {"server": {"metrics_listen": "127.0.0.1:0"}}

    with AIManager.embedded(provider="mock", config=config, enable_metrics=enabled, enable_logging=True) as ai:
        ai.request("Hi")
        ports = re.findall(r"metrics_server\.started port=(\d+)", caplog.text)
        assert len(ports) == (1 if enabled else 0)
        for port in ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as response:
                assert b"aimanager_requests_total{" in response.read()


@pytest.mark.parametrize("name", ["enable_metrics", "enable_health_checks", "enable_rate_limiting", "enable_logging"])
def test_every_switch_of_the_document_is_accepted(name: str) -> None:
    options: Any = {name: True}

    with AIManager("key", provider="mock", **options) as ai:
        assert ai.request("[[reply: Hi]]").content == "Hi"


# calls


def test_errors_have_their_details(ai: AIManager) -> None:
    with pytest.raises(AIError) as failed:
        ai.request("[[error: PROVIDER_QUOTA_EXHAUSTED]]")

    assert (failed.value.reason, failed.value.provider) == ("PROVIDER_QUOTA_EXHAUSTED", "mock")
    assert failed.value.request_id
    assert failed.value.attempts


def test_a_timeout_ends_a_call_and_a_stream(ai: AIManager) -> None:
    for use in (lambda: ai.request("[[stall: 0]]", timeout=0.1), lambda: list(ai.stream(ENDLESS, timeout=0.1))):
        with pytest.raises(AIError) as failed:
            use()
        assert failed.value.reason in ("DEADLINE_EXCEEDED", "STREAM_INTERRUPTED")


def test_threads_may_make_the_first_calls_at_once() -> None:
    with AIManager("key", provider="mock") as ai, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ai.request("[[reply: Hi]]").content, range(16)))

    assert answers == ["Hi"] * 16


async def test_health_can_be_watched(ai: AIManager) -> None:
    assert next(ai.health.watch()).provider == "claude"
    async with AsyncAIManager("key", provider="mock") as client, aclosing(client.health.watch()) as changes:
        assert (await anext(changes)).provider == "claude"


def test_stubs_offer_plain_calls_only(ai: AIManager) -> None:
    with pytest.raises(NotImplementedError, match="call the method itself"):
        ai.stubs.generation.Generate.future(GenerateRequest())


async def test_leaving_a_stream_early_cancels_its_call(ai: AIManager) -> None:
    for piece in ai.stream(ENDLESS):
        assert piece.content
        break

    await eventually(lambda: ai.metrics.get_summary().total.errors_by_reason, {"CANCELLED": 1})


async def test_a_stream_that_nobody_reads_waits(ai: AIManager) -> None:
    with ai.stream("[[words: 100000]]") as stream:
        pieces = iter(stream)
        next(pieces)
        ai.request("Hi")  # is answered while the stream waits
        text = "".join(piece.content for piece in pieces)

    assert len(text.split()) == 99_999


async def test_a_sync_client_works_in_a_thread_with_a_running_loop(ai: AIManager) -> None:
    assert ai.request("[[reply: Hi]]").content == "Hi"
    assert list(ai.stream("[[reply: Hi]]").text) == ["Hi"]


def test_an_async_client_works_in_several_loops() -> None:
    client = AsyncAIManager("key", provider="mock")

    async def use() -> tuple[str, list[str]]:
        answer = await client.request("[[reply: Hi]]")
        return answer.content, [text async for text in client.stream("[[reply: a b]]").text]

    assert asyncio.run(use()) == asyncio.run(use()) == ("Hi", ["a ", "b"])
    asyncio.run(client.close())


async def test_cancelling_a_task_cancels_its_call() -> None:
    async with AsyncAIManager("key", provider="mock") as client:
        await client.request("Hi")
        calls: tuple[Awaitable[AIResponse], ...] = (
            client.request("[[stall: 0]]"),
            client.stream("[[stall: 0]]").complete(),
        )
        for call in calls:
            task = asyncio.ensure_future(call)
            await until_in_flight(client, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_in_flight(client, 0)

        assert (await client.metrics.get_summary()).total.errors_by_reason == {"CANCELLED": 2}


async def test_calls_in_flight_end_as_cancelled_when_the_client_is_closed(ai: AIManager) -> None:
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ai.request, "[[stall: 0]]")
        await eventually(lambda: ai.metrics.get_summary().requests_in_flight, 1)

        ai.close()

        with pytest.raises(AIError) as failed:
            call.result()
    assert failed.value.reason == "CANCELLED"
    with pytest.raises(ConfigurationError, match="closed"):
        ai.request("Hi")


def test_a_call_whose_time_is_up_before_the_server_has_started_fails(ai: AIManager) -> None:
    with pytest.raises(AIError) as failed:
        ai.request("Hi", timeout=1e-6)

    assert failed.value.reason == "DEADLINE_EXCEEDED"


# the process


async def test_each_client_has_a_server_that_ends_with_it() -> None:
    before = len(server_threads())
    first, second = AIManager("key", provider="mock"), AIManager("key", provider="mock")
    for client in (first, second):
        client.request("Hi")
    assert len(server_threads()) == before + 2

    first.close()
    assert len(server_threads()) == before + 1
    del client, second
    await eventually(lambda: len(server_threads()), before)


def test_the_only_caller_may_use_any_idempotency_key() -> None:
    with AIManager("key", provider="mock") as ai:
        first = ai.request("[[reply: Hello.]]", idempotency_key="order-4711")
        again = ai.request("[[reply: Hello.]]", idempotency_key="order-4711")

    assert again.proto.cache_status == usage_pb2.CACHE_STATUS_IDEMPOTENT_REPLAY
    assert again.message == first.message


def test_embedding_models_with_a_key_are_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(variable)
    with AIManager.embedded(provider="mock") as ai, pytest.raises(InvalidRequestError) as without_keys:
        ai.embed("sun", model="")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    with AIManager.embedded(config={"providers": {"mistral": {}}}) as ai, pytest.raises(InvalidRequestError) as openai:
        ai.embed("sun", model="")

    assert "such as mock/mock-embedding" in str(without_keys.value)
    assert "such as openai/" in str(openai.value)
    assert "mistral" not in str(openai.value)
    assert "mock" not in str(openai.value)
