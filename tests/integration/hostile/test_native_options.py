"""A caller cannot replace what the gateway decides or books by sending native options."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http_servers.recording import recording_upstream
from tests.support.rpc_operations import RunningGateway, running_gateway, sync_failure_of

MODELS = {
    "claude": "claude/claude-opus-5-5",
    "openai": "openai/gpt-6-sol",
    "deepseek": "deepseek/deepseek-flash",
    "gemini": "gemini/gemini-embedding-001",
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as running:
        yield running


def rejected(gateway: RunningGateway, provider: str, options: dict[str, Any]) -> dict[str, str]:
    """Return the violations of a call whose options are rejected, and check that nothing was sent."""
    gateway.upstream.paths.clear()
    json_options = {provider: json.dumps(options)}
    failure = sync_failure_of(lambda: gateway.generate("Hi", provider_options_json=json_options))
    assert gateway.upstream.paths == []
    return failure.fields


@pytest.mark.parametrize(
    ("provider", "options", "path"),
    [
        ("claude", {"model": "claude-opus-5-5"}, "model"),
        ("claude", {"mcp_servers": [{"type": "url", "url": "http://10.0.0.1"}]}, "mcp_servers"),
        ("deepseek", {"n": 50}, "n"),
        ("deepseek", {"max_tokens": None}, "max_tokens"),
        ("deepseek", {"Model": "deepseek-v4-pro"}, "Model"),
        ("openai", {"store": True}, "store"),
        ("openai", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("openai", {"conversation": "conv_1"}, "conversation"),
        ("openai", {"n": 50}, "n"),
        ("gemini", {"generation_config": {"candidate_count": 8}}, "generation_config.candidate_count"),
        ("gemini", {"generationConfig": None}, "generationConfig"),
    ],
)
def test_an_option_that_the_gateway_decides_or_books_is_rejected_by_its_path(
    gateway: RunningGateway, provider: str, options: dict[str, Any], path: str
) -> None:
    found = rejected(gateway, provider, options)

    assert list(found) == [f'provider_options_json["{provider}"].{path}']


def test_the_rejection_names_the_reason_and_the_setting(gateway: RunningGateway) -> None:
    found = rejected(gateway, "openai", {"service_tier": "priority", "metadata": {"team": "a"}})

    assert found == {
        'provider_options_json["openai"].service_tier': "must not be set, since the gateway does not book what it "
        "costs; the operator can allow it with providers.openai.allowed_options"
    }


def test_the_model_and_the_vector_length_of_an_embedding_cannot_be_replaced(gateway: RunningGateway) -> None:
    gateway.upstream.paths.clear()
    options = {"openai": '{"model": "text-embedding-3-large", "dimensions": 3072, "user": "ann"}'}

    failure = sync_failure_of(lambda: gateway.embed("a", provider_options_json=options))

    assert list(failure.fields) == [
        'provider_options_json["openai"].model',
        'provider_options_json["openai"].dimensions',
    ]
    assert gateway.upstream.paths == []


def test_the_operator_can_allow_a_field_and_is_not_restricted() -> None:
    answer = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    with recording_upstream(lambda path, body: json.dumps(answer).encode()) as upstream:
        lab = {
            **{"wire": "chat_completions", "base_url": f"{upstream.url}/v1", "api_key": "k", "allow_any_model": True},
            "options": {"store": True},
            "allowed_options": ["service_tier"],
        }
        with running_gateway(more_providers={"lab": lab}) as gateway:
            gateway.generate("Hi", model="lab/m", provider_options_json={"lab": '{"service_tier": "flex"}'})
            failure = sync_failure_of(
                lambda: gateway.generate("Hi", model="lab/m", provider_options_json={"lab": '{"store": false}'})
            )

    [(_, body)] = upstream.requests
    assert (body["service_tier"], body["store"]) == ("flex", True)
    assert list(failure.fields) == ['provider_options_json["lab"].store']
