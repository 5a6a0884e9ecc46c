"""Hosts of third-party models without quirks: OpenRouter, Together, Fireworks, Ollama, vLLM, LM Studio."""

from __future__ import annotations

import pytest

from aimanager_server.config.provider_defaults import KNOWN_PROVIDERS, provider_defaults
from aimanager_server.config.providers import ProviderSettings
from aimanager_server.core.content import Reasoning, Text, ToolCall
from aimanager_server.core.errors import (
    GatewayError,
    ModelNotFound,
    ProviderInternalError,
    ProviderProtocolError,
    ProviderRejectedRequest,
)
from aimanager_server.core.usage import UsageSource
from aimanager_server.providers.factory import open_provider
from aimanager_server.providers.http.provider import HttpProvider
from aimanager_server.providers.wires.chat_completions.vendors import QUIRKS
from tests.support.chat_completions import LIMITS, chat_wire, deadline_in, make_attempt, read_stream, recorded
from tests.support.http_servers.raw import http_response, raw_server
from tests.support.wire_cases import completed_parts, finished_event

HOSTS = ["openrouter", "together", "fireworks", "ollama", "vllm", "lmstudio"]


async def test_hosts_open_with_their_defaults() -> None:
    for name in HOSTS:
        provider = open_provider(name, ProviderSettings.model_validate(provider_defaults(name)), LIMITS)

        assert isinstance(provider, HttpProvider)
        await provider.aclose()


@pytest.mark.parametrize(
    ("name", "wire", "path"),
    [
        ("gemini", "gemini", "/v1/models/m:generateContent"),
        ("gemini", "chat_completions", "/v1/chat/completions"),
        ("deepseek", "anthropic", "/v1/messages"),
        ("azure", "chat_completions", "/v1/openai/deployments/m/chat/completions"),
    ],
)
async def test_wire_setting_selects_the_api_and_the_name_its_quirks(name: str, wire: str, path: str) -> None:
    async with raw_server((http_response(b"{}"),)) as server:
        settings = ProviderSettings.model_validate({"wire": wire, "base_url": f"{server.url}/v1"})
        provider = open_provider(name, settings, LIMITS)
        with pytest.raises(ProviderProtocolError):
            await provider(make_attempt(provider=name, model="m", deadline=deadline_in(5)))
        await provider.aclose()

    assert server.requests[-1].split(b" ")[1].partition(b"?")[0] == path.encode()


def test_vendors_with_quirks_are_known_providers() -> None:
    assert QUIRKS.keys() <= KNOWN_PROVIDERS.keys()


def test_openrouter_comments_are_ignored_and_late_usage_is_read() -> None:
    events = read_stream(recorded("chat_completions/openrouter_comments.sse"))

    assert completed_parts(events) == (Reasoning("Hm."), Text("Yes."))
    assert finished_event(events).usage.input_tokens == 4


def test_openrouter_error_inside_a_stream_is_raised() -> None:
    with pytest.raises(ProviderInternalError, match="Provider disconnected"):
        read_stream(recorded("chat_completions/openrouter_error.sse"))


def test_vllm_abort_is_raised() -> None:
    with pytest.raises(ProviderInternalError, match="'abort'"):
        read_stream(recorded("chat_completions/vllm_abort.sse"))


@pytest.mark.parametrize("name", ["ollama_no_ids", "ollama_index_always_zero"])
def test_ollama_tool_calls_are_separated(name: str) -> None:
    calls = [
        part
        for part in completed_parts(read_stream(recorded(f"chat_completions/{name}.sse")))
        if isinstance(part, ToolCall)
    ]

    assert len(calls) > 1
    assert len({call.id for call in calls}) == len(calls)


def test_missing_usage_is_reported_as_missing() -> None:
    usage = finished_event(read_stream(recorded("chat_completions/no_done_no_usage.sse"))).usage

    assert usage.source is UsageSource.MISSING


@pytest.mark.parametrize(
    ("status", "body", "error_type"),
    [
        (404, b'{"error":"model \\"llama9\\" not found, try pulling it first"}', ModelNotFound),
        (404, b'{"error":{"message":"model not found","type":"api_error","param":null,"code":null}}', ModelNotFound),
        (
            400,
            b'{"object":"error","message":"Too high.","type":"BadRequestError","param":null,"code":400}',
            ProviderRejectedRequest,
        ),
        (400, b'{"error":{"message":"Bad.","code":400}}', ProviderRejectedRequest),
    ],
)
def test_error_bodies_of_every_form_are_mapped(status: int, body: bytes, error_type: type[GatewayError]) -> None:
    assert type(chat_wire().error(status, {}, body)) is error_type
