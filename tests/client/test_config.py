"""AIConfig: precedence of settings, and validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from aimanager import AIConfig, AIManager, AsyncAIManager, ConfigurationError, InvalidRequestError
from tests.support.fake_gateway.server import FakeGateway

KEY = "sk-s3cret-0123456789"
Make = Callable[..., AIManager | AsyncAIManager]
both = pytest.mark.parametrize("make", [AIManager, AsyncAIManager])


@pytest.mark.parametrize(
    ("provider", "model", "qualified"),
    [
        (None, None, "claude/latest"),
        ("openai", None, "openai/latest"),
        ("openai", "fast", "openai/fast"),
        ("openai", "openai/fast", "openai/fast"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        (None, "deepseek/reasoning", "deepseek/reasoning"),
    ],
)
def test_model_is_qualified_with_the_provider(provider: str | None, model: str | None, qualified: str) -> None:
    assert f"model={qualified!r}" in repr(AIManager(KEY, provider, model))


def test_gateway_without_model_uses_the_default_of_the_server(fake: FakeGateway) -> None:
    with AIManager.gateway(fake.target) as ai:
        ai.request("Hi")
        ai.request("Hi", model="fast")

    assert [call.request.model for call in fake.received] == ["", "fast"]
    assert not [key for call in fake.received for key in call.metadata if "key" in key]


async def test_async_gateway_sends_its_model(fake: FakeGateway) -> None:
    async with AsyncAIManager.gateway(fake.target, model="openai/fast") as ai:
        await ai.request("Hi")

    assert fake.received[0].request.model == "openai/fast"


def test_qualified_model_is_sent_unchanged(fake: FakeGateway, ai: AIManager) -> None:
    ai.request("Hi", model="openai/fast")

    assert fake.received[0].request.model == "openai/fast"


def test_keyword_overrides_config(fake: FakeGateway) -> None:
    config = AIConfig.builder().with_provider("mock").with_model("fast").with_timeout(30).with_retries(1).build()

    with AIManager("", config=config, target=fake.target) as ai:
        ai.request("Hi")
    with AIManager("", model="latest", config=config, target=fake.target, timeout=50, retries=0) as ai:
        ai.request("Hi")
        ai.request("Hi", timeout=70)

    assert [call.request.model for call in fake.received] == ["mock/fast", "mock/latest", "mock/latest"]
    assert [round(call.timeout, -1) for call in fake.received] == [30, 50, 70]


def test_gateway_uses_the_provider_of_the_config() -> None:
    assert "model='mock/latest'" in repr(AIManager.gateway(config=AIConfig(provider="mock")))


def test_config_has_no_key() -> None:
    names = {field.name for field in dataclasses.fields(AIConfig)}

    assert not [name for name in names if "key" in name or name.endswith("token")]


@pytest.mark.parametrize("name", ["enable_metrics", "enable_health_checks", "enable_rate_limiting", "enable_logging"])
def test_a_gateway_rejects_what_switches_its_parts_on(name: str, fake: FakeGateway) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} applies to a server in this process"):
        AIManager("", "mock", config=AIConfig(**{name: True}), target=fake.target)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=f"^{name} applies to a server in this process"):
        AIManager("", "mock", target=fake.target, **{name: True})  # type: ignore[arg-type]
    with AIManager("", "mock", config=AIConfig(**{name: False}), target=fake.target) as ai:  # type: ignore[arg-type]
        assert ai.request("Hi").content == "Hello."


def test_a_gateway_rejects_a_base_url(fake: FakeGateway) -> None:
    with pytest.raises(ConfigurationError, match=r"^base_url applies to a server in this process"):
        AIManager.gateway(fake.target, config=AIConfig(base_url="https://proxy.example"))
    with pytest.raises(ConfigurationError, match=r"^base_url must be an http or https URL\n"):
        AIConfig(base_url="user:s3cret@proxy.example")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("temperature", 3.0, "temperature must be between 0.0 and 2.0, got 3.0"),
        ("temperature", "hot", "temperature must be between"),
        ("max_tokens", 0, "max_tokens must be positive, got 0"),
        ("max_tokens", 1.5, "max_tokens must be positive"),
        ("base_url", "api.example.com", "base_url must be an http or https URL"),
        ("max_wait", -1, "max_wait must be at least 0 seconds, got -1"),
    ],
)
def test_config_checks_its_values(name: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        AIConfig(**{name: value})

    assert raised.value.solution


def test_temperature_and_max_tokens_are_those_of_requests_without(fake: FakeGateway) -> None:
    config = AIConfig.builder().with_temperature(0.5).with_max_tokens(7).build()
    with AIManager.gateway(fake.target, config=config) as ai:
        ai.request("Hi")
        ai.request("Hi", temperature=0.0, max_tokens=9)

    sent = [call.request.sampling for call in fake.received]
    assert [(each.temperature, each.max_output_tokens) for each in sent] == [(0.5, 7), (0.0, 9)]


@pytest.mark.parametrize("policy", ["ring_hash", 3])
def test_load_balancing_is_a_known_policy(policy: Any) -> None:
    with pytest.raises(ConfigurationError, match="load_balancing must be one of round_robin, pick_first"):
        AIManager.gateway(load_balancing=policy)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "5"])
def test_timeout_must_be_positive(ai: AIManager, timeout: Any) -> None:
    for use in (lambda: AIConfig(timeout=timeout), lambda: AIManager(KEY, timeout=timeout)):
        with pytest.raises(ConfigurationError, match="timeout must be"):
            use()
    with pytest.raises(InvalidRequestError, match="timeout must be"):
        ai.request("Hi", timeout=timeout)


@pytest.mark.parametrize("retries", [-1, 4, True, 1.5])
def test_retries_must_be_0_to_3(retries: Any) -> None:
    for use in (lambda: AIConfig(retries=retries), lambda: AIManager(KEY, retries=retries)):
        with pytest.raises(ConfigurationError, match="retries must be"):
            use()


@both
def test_unknown_keyword_suggests_the_closest(make: Make) -> None:
    with pytest.raises(TypeError, match=r"'provder'\. Did you mean 'provider'"):
        make("", provder="mock")
    with pytest.raises(TypeError, match=r"gateway\(\) .*'tokn'\. Did you mean 'token'"):
        AIManager.gateway(tokn="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'api_key'\. Pass token=…, or use AIManager\(api_key, …\) for a key of yours"):
        AIManager.gateway(api_key="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'base_url'\. Pass config=AIConfig\(base_url=…\)"):
        make("", base_url="http://127.0.0.1:8080/v1")
    with pytest.raises(TypeError, match=r"'base_url'\. Pass target='host:port'"):
        AIManager.gateway(base_url="http://127.0.0.1:50051")  # type: ignore[call-arg]


@pytest.mark.parametrize("target", ["", 50051])
def test_target_must_be_an_address(target: Any) -> None:
    with pytest.raises(ConfigurationError, match="target must be"):
        AIManager(KEY, target=target)
