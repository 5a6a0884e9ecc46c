"""Hosts of others' models that need no file: OpenRouter, Together, Fireworks, Ollama, vLLM, LM Studio."""

from __future__ import annotations

import pytest

from aimanager_server.config.provider_defaults import KNOWN, defaults_of
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
from aimanager_server.providers.factory import VARIANTS, open_provider
from aimanager_server.providers.http.provider import HttpProvider
from tests.support.chat_completions import LIMITS, dialect, finished_of, fixture, parts_of, question, read_all, soon
from tests.support.http_servers.raw import http, raw_server

HOSTS = ["openrouter", "together", "fireworks", "ollama", "vllm", "lmstudio"]


@pytest.mark.parametrize("name", HOSTS)
async def test_a_host_is_opened_with_its_defaults_alone(name: str) -> None:
    provider = open_provider(name, ProviderSettings.model_validate(defaults_of(name)), LIMITS)

    assert isinstance(provider, HttpProvider)
    await provider.aclose()


@pytest.mark.parametrize(
    ("name", "wire", "path"),
    [
        ("gemini", "gemini", "/v1/models/m:generateContent"),
        ("gemini", "chat_completions", "/v1/chat/completions"),
        ("deepseek", "claude", "/v1/messages"),
        ("azure", "chat_completions", "/v1/openai/deployments/m/chat/completions"),
    ],
)
async def test_the_wire_of_the_settings_decides_and_the_name_only_among_variants(
    name: str, wire: str, path: str
) -> None:
    async with raw_server((http(b"{}"),)) as server:
        there = ProviderSettings.model_validate({"wire": wire, "base_url": f"{server.url}/v1"})
        provider = open_provider(name, there, LIMITS)
        with pytest.raises(ProviderProtocolError):
            await provider(question(provider=name, model="m", deadline=soon(5)))
        await provider.aclose()

    assert server.requests[-1].split(b" ")[1].partition(b"?")[0] == path.encode()


def test_every_variant_is_known_by_name() -> None:
    assert VARIANTS.keys() <= KNOWN.keys()


def test_comments_of_openrouter_are_no_answer_and_its_usage_comes_after_the_reason() -> None:
    events = read_all(fixture("chat_completions/openrouter_comments.sse"))

    assert parts_of(events) == (Reasoning("Hm."), Text("Yes."))
    assert finished_of(events).usage.input_tokens == 4


def test_an_error_within_openrouters_stream_is_one() -> None:
    with pytest.raises(ProviderInternalError, match="Provider disconnected"):
        read_all(fixture("chat_completions/openrouter_error.sse"))


def test_an_aborted_answer_of_vllm_is_none() -> None:
    with pytest.raises(ProviderInternalError, match="'abort'"):
        read_all(fixture("chat_completions/vllm_abort.sse"))


@pytest.mark.parametrize("name", ["ollama_no_ids", "ollama_index_always_zero"])
def test_calls_of_ollama_are_told_apart(name: str) -> None:
    calls = [part for part in parts_of(read_all(fixture(f"chat_completions/{name}.sse"))) if isinstance(part, ToolCall)]

    assert len(calls) > 1
    assert len({call.id for call in calls}) == len(calls)


def test_a_server_that_does_not_count_has_no_usage() -> None:
    usage = finished_of(read_all(fixture("chat_completions/no_done_no_usage.sse"))).usage

    assert usage.source is UsageSource.MISSING


@pytest.mark.parametrize(
    ("status", "body", "kind"),
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
def test_their_refusals_are_read_in_every_form(status: int, body: bytes, kind: type[GatewayError]) -> None:
    assert type(dialect().error(status, {}, body)) is kind
