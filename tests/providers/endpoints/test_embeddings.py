"""Embeddings over HTTP: the requests to each kind of server, and the responses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.core.errors import (
    ProviderCredentialsInvalid,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejectedRequest,
)
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.endpoints.embeddings import HttpEmbedder
from aimanager_server.providers.endpoints.gemini_embeddings import GeminiEmbeddings
from aimanager_server.providers.endpoints.openai_embeddings import MISTRAL, OPENAI, OpenAIEmbeddings
from aimanager_server.providers.factory import embedder_for
from aimanager_server.providers.mock.embeddings import mock_vector
from aimanager_server.providers.wires.chat_completions.azure import AzureWire
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.chat_completions import CANARY, LIMITS, provider_responding, provider_settings
from tests.support.embeddings import base64_vector, embed_attempt, embeddings_response
from tests.support.mock_provider import mock

CHAT_REQUEST = HttpRequest("POST", "https://up.test/v1/chat/completions", {"Authorization": "Bearer k"}, b"{}")
GEMINI_REQUEST = HttpRequest(
    "POST", "https://g.test/v1beta/models/gemini-embedding-2:generateContent", {"x-goog-api-key": "k"}
)
CATALOG = Catalog.load()


def body(request: HttpRequest) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(request.body)
    return value


def gemini() -> GeminiEmbeddings:
    return GeminiEmbeddings(lambda model: CATALOG.find("gemini", model))


def test_openai_requests_use_base64_vectors() -> None:
    attempt = embed_attempt("a", "b", model="text-embedding-3-small", dimensions=256, options={"user": "ann"})

    sent = OpenAIEmbeddings(OPENAI).encode(attempt, CHAT_REQUEST)

    assert (sent.method, sent.url, sent.headers) == ("POST", "https://up.test/v1/embeddings", CHAT_REQUEST.headers)
    assert body(sent) == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "dimensions": 256,
        "encoding_format": "base64",
        "user": "ann",
    }


def test_an_unknown_server_gets_required_fields_only() -> None:
    assert body(OpenAIEmbeddings().encode(embed_attempt("a"), CHAT_REQUEST)) == {
        "model": "some-embedding",
        "input": ["a"],
    }


def test_mistral_uses_output_dimension() -> None:
    sent = OpenAIEmbeddings(MISTRAL).encode(embed_attempt("a", dimensions=64), CHAT_REQUEST)

    assert body(sent) == {"model": "some-embedding", "input": ["a"], "output_dimension": 64}


@pytest.mark.parametrize(
    ("generation_url", "embeddings_url"),
    [
        ("https://up.test/v1/responses", "https://up.test/v1/embeddings"),
        ("https://up.test/responses/v1/chat/completions?a=b", "https://up.test/responses/v1/embeddings?a=b"),
    ],
)
def test_the_embeddings_url_derives_from_the_generation_url(generation_url: str, embeddings_url: str) -> None:
    sent = OpenAIEmbeddings().encode(embed_attempt("a"), HttpRequest("POST", generation_url, {}))

    assert sent.url == embeddings_url


def test_azure_keeps_the_deployment_url_and_the_key_header() -> None:
    azure = AzureWire(provider_settings("https://name.openai.azure.com", api_version="2024-10-21"), LIMITS)
    attempt = embed_attempt("a", model="my-vectors")

    sent = OpenAIEmbeddings(OPENAI).encode(attempt, azure.encode(attempt, "k"))

    url = "https://name.openai.azure.com/openai/deployments/my-vectors/embeddings?api-version=2024-10-21"
    assert (sent.url, sent.headers["api-key"]) == (url, "k")


@pytest.mark.parametrize("vectors", [([1.0, -2.0], [0.5, 0.25]), (base64_vector(1.0, -2.0), base64_vector(0.5, 0.25))])
def test_vectors_are_decoded_from_either_encoding_and_sorted_by_index(vectors: tuple[object, ...]) -> None:
    batch = OpenAIEmbeddings().decode(embeddings_response(*vectors))

    assert [list(vector) for vector in batch.vectors] == [[1.0, -2.0], [0.5, 0.25]]
    assert batch.usage == Usage(7, source=UsageSource.REPORTED)


def test_a_missing_index_defaults_to_the_position() -> None:
    batch = OpenAIEmbeddings().decode(b'{"data": [{"embedding": [1]}, {"embedding": [2]}]}')

    assert [list(vector) for vector in batch.vectors] == [[1.0], [2.0]]
    assert batch.usage.source is UsageSource.MISSING


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"<!doctype html>",
        b"[]",
        b"{}",
        b'{"data": [1]}',
        b'{"data": [{"embedding": []}]}',
        b'{"data": [{"embedding": ["a"]}]}',
        b'{"data": [{"embedding": [null]}]}',
        b'{"data": [{"embedding": "AAAA"}]}',
        b'{"data": [{"embedding": ""}]}',
        b'{"data": [{"embedding": "!!!!"}]}',
        b'{"data": [{"embedding": {}}]}',
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}',
        b'{"data": [{"index": 1, "embedding": [1]}]}',
    ],
)
def test_invalid_embeddings_responses_are_rejected(response: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        OpenAIEmbeddings().decode(response)


@pytest.mark.parametrize("dialect", [OpenAIEmbeddings(), gemini()])
def test_an_error_in_a_successful_response_is_raised(dialect: OpenAIEmbeddings | GeminiEmbeddings) -> None:
    with pytest.raises(ProviderRateLimited):
        dialect.decode(b'{"error": {"message": "slow down", "type": "rate_limit_error", "code": 429}}')


async def test_embeddings_are_requested_with_the_servers_key() -> None:
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=json.loads(embeddings_response([1.0])))

    batch = await HttpEmbedder(provider_responding(respond), OpenAIEmbeddings()).embed(embed_attempt("a"))

    assert [list(vector) for vector in batch.vectors] == [[1.0]]
    assert str(seen[0].url) == "https://upstream.test/v1/embeddings"
    assert seen[0].headers["authorization"] == f"Bearer {CANARY}"
    assert seen[0].headers["x-client-request-id"] == "call-1"


async def test_a_provider_error_is_attributed_and_contains_no_key() -> None:
    error_body = {"error": {"message": f"no such field; your key is {CANARY}", "type": "invalid_request_error"}}
    provider = provider_responding(lambda request: httpx.Response(400, json=error_body))

    with pytest.raises(ProviderRejectedRequest) as caught:
        await HttpEmbedder(provider, OpenAIEmbeddings()).embed(embed_attempt("a"))

    assert CANARY not in caught.value.message
    assert (caught.value.provider, caught.value.model) == ("upstream", "some-embedding")


async def test_the_key_of_the_call_is_used_and_redacted() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer own-key-1234"
        return httpx.Response(401, json={"error": {"message": "bad key own-key-1234"}})

    attempt = embed_attempt("a", api_key=ApiKey(CALLER_KEY_ID, "own-key-1234"))

    with pytest.raises(ProviderCredentialsInvalid) as caught:
        await HttpEmbedder(provider_responding(respond), OpenAIEmbeddings()).embed(attempt)

    assert "own-key-1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wire", "kind"),
    [
        ("openai", "responses", OpenAIEmbeddings),
        ("azure", "chat_completions", OpenAIEmbeddings),
        ("mistral", "chat_completions", OpenAIEmbeddings),
        ("ollama", "chat_completions", OpenAIEmbeddings),
        ("gemini", "gemini", GeminiEmbeddings),
        ("claude", "anthropic", None),
        ("deepseek", "chat_completions", None),
        ("other", "anthropic", None),
    ],
)
def test_the_embedding_wire_is_selected_by_provider_and_wire(name: str, wire: str, kind: type | None) -> None:
    provider = provider_responding(lambda request: httpx.Response(200))

    found = embedder_for(name, wire, provider, lambda model: None)

    assert (None if found is None else type(found._wire)) is kind  # type: ignore[attr-defined]


async def test_mock_vectors_have_unit_length_and_directives_apply() -> None:
    embedder = embedder_for("mock", "mock", mock(), lambda model: None)
    assert embedder is not None

    batch = await embedder.embed(embed_attempt("a b", "[[usage: 9/0]]", provider="mock", dimensions=8, deadline=2000.0))

    assert [len(vector) for vector in batch.vectors] == [8, 8]
    assert sum(component**2 for component in batch.vectors[0]) == pytest.approx(1.0)
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (9, 0)


def test_mock_vectors_are_deterministic_even_if_words_cancel_out() -> None:
    assert mock_vector("a b", 3) == mock_vector("A  b", 3)
    assert {sum(component**2 for component in mock_vector(f"w{number}", 1)) for number in range(40)} == {1.0}
    assert sum(component**2 for component in mock_vector("  ", 8)) == pytest.approx(1.0)
