"""Vectors over HTTP: what is sent to each kind of server, and what is read from it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.core.errors import (
    ProviderCredentialsInvalid,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejectedRequest,
)
from aimanager_server.core.request import CALLER_KEY_ID, ApiKey
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.endpoint_factory import embedder_of
from aimanager_server.providers.endpoints.embeddings import HttpEmbedder
from aimanager_server.providers.endpoints.gemini_embeddings import GeminiEmbeddings
from aimanager_server.providers.endpoints.openai_embeddings import MISTRAL, OPENAI, ChatEmbeddings
from aimanager_server.providers.mock.embeddings import mock_vector
from aimanager_server.providers.wires.chat_completions.azure import Azure
from aimanager_server.providers.wires.dialect import HttpRequest
from tests.support.chat_completions import CANARY, LIMITS, answering, settings
from tests.support.embeddings import embed_call, packed, vectors_answer
from tests.support.mock_provider import mock

ASKED = HttpRequest("POST", "https://up.test/v1/chat/completions", {"Authorization": "Bearer k"}, b"{}")
GEMINI = HttpRequest("POST", "https://g.test/v1beta/models/gemini-embedding-2:generateContent", {"x-goog-api-key": "k"})
FACTS = Catalogue.load()


def body(request: HttpRequest) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(request.body)
    return value


def gemini() -> GeminiEmbeddings:
    return GeminiEmbeddings(lambda model: FACTS.find("gemini", model))


def test_openai_is_asked_for_packed_vectors() -> None:
    call = embed_call("a", "b", model="text-embedding-3-small", dimensions=256, options={"user": "ann"})

    sent = ChatEmbeddings(OPENAI).encode(call, ASKED)

    assert (sent.method, sent.url, sent.headers) == ("POST", "https://up.test/v1/embeddings", ASKED.headers)
    assert body(sent) == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "dimensions": 256,
        "encoding_format": "base64",
        "user": "ann",
    }


def test_an_unknown_server_is_asked_for_no_more_than_it_must_know() -> None:
    assert body(ChatEmbeddings().encode(embed_call("a"), ASKED)) == {"model": "some-embedding", "input": ["a"]}


def test_mistral_has_its_own_word_for_dimensions() -> None:
    sent = ChatEmbeddings(MISTRAL).encode(embed_call("a", dimensions=64), ASKED)

    assert body(sent) == {"model": "some-embedding", "input": ["a"], "output_dimension": 64}


@pytest.mark.parametrize(
    ("answers", "vectors"),
    [
        ("https://up.test/v1/responses", "https://up.test/v1/embeddings"),
        ("https://up.test/responses/v1/chat/completions?a=b", "https://up.test/responses/v1/embeddings?a=b"),
    ],
)
def test_vectors_come_from_beside_where_answers_do(answers: str, vectors: str) -> None:
    sent = ChatEmbeddings().encode(embed_call("a"), HttpRequest("POST", answers, {}))

    assert sent.url == vectors


def test_a_deployment_on_azure_keeps_its_address_and_its_key() -> None:
    azure = Azure(settings("https://name.openai.azure.com", version="2024-10-21"), LIMITS)
    call = embed_call("a", model="my-vectors")

    sent = ChatEmbeddings(OPENAI).encode(call, azure.encode(call, "k"))

    place = "https://name.openai.azure.com/openai/deployments/my-vectors/embeddings?api-version=2024-10-21"
    assert (sent.url, sent.headers["api-key"]) == (place, "k")


@pytest.mark.parametrize("vectors", [([1.0, -2.0], [0.5, 0.25]), (packed(1.0, -2.0), packed(0.5, 0.25))])
def test_vectors_are_read_packed_or_not_and_by_their_index(vectors: tuple[object, ...]) -> None:
    read = ChatEmbeddings().decode(vectors_answer(*vectors))

    assert [list(vector) for vector in read.vectors] == [[1.0, -2.0], [0.5, 0.25]]
    assert read.usage == Usage(7, source=UsageSource.REPORTED)


def test_an_index_that_is_missing_is_the_place() -> None:
    read = ChatEmbeddings().decode(b'{"data": [{"embedding": [1]}, {"embedding": [2]}]}')

    assert [list(vector) for vector in read.vectors] == [[1.0], [2.0]]
    assert read.usage.source is UsageSource.MISSING


@pytest.mark.parametrize(
    "answer",
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
def test_what_is_no_list_of_vectors_is_refused(answer: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        ChatEmbeddings().decode(answer)


@pytest.mark.parametrize("dialect", [ChatEmbeddings(), gemini()])
def test_an_error_inside_a_success_is_one(dialect: ChatEmbeddings | GeminiEmbeddings) -> None:
    with pytest.raises(ProviderRateLimited):
        dialect.decode(b'{"error": {"message": "slow down", "type": "rate_limit_error", "code": 429}}')


async def test_one_exchange_brings_the_vectors_with_the_servers_key() -> None:
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=json.loads(vectors_answer([1.0])))

    read = await HttpEmbedder(answering(respond), ChatEmbeddings()).embed(embed_call("a"))

    assert [list(vector) for vector in read.vectors] == [[1.0]]
    assert str(seen[0].url) == "https://upstream.test/v1/embeddings"
    assert seen[0].headers["authorization"] == f"Bearer {CANARY}"
    assert seen[0].headers["x-client-request-id"] == "call-1"


async def test_a_refusal_is_the_providers_and_holds_no_key() -> None:
    refusal = {"error": {"message": f"no such model; your key is {CANARY}", "type": "invalid_request_error"}}
    provider = answering(lambda request: httpx.Response(400, json=refusal))

    with pytest.raises(ProviderRejectedRequest) as caught:
        await HttpEmbedder(provider, ChatEmbeddings()).embed(embed_call("a"))

    assert CANARY not in caught.value.message
    assert (caught.value.provider, caught.value.model) == ("upstream", "some-embedding")


async def test_the_key_of_the_call_goes_out_and_does_not_come_back() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer own-key-1234"
        return httpx.Response(401, json={"error": {"message": "bad key own-key-1234"}})

    call = embed_call("a", key=ApiKey(CALLER_KEY_ID, "own-key-1234"))

    with pytest.raises(ProviderCredentialsInvalid) as caught:
        await HttpEmbedder(answering(respond), ChatEmbeddings()).embed(call)

    assert "own-key-1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wire", "kind"),
    [
        ("openai", "responses", ChatEmbeddings),
        ("azure", "chat_completions", ChatEmbeddings),
        ("mistral", "chat_completions", ChatEmbeddings),
        ("ollama", "chat_completions", ChatEmbeddings),
        ("gemini", "gemini", GeminiEmbeddings),
        ("claude", "claude", None),
        ("deepseek", "chat_completions", None),
        ("other", "claude", None),
    ],
)
def test_who_makes_vectors_is_told_by_name_and_wire(name: str, wire: str, kind: type | None) -> None:
    provider = answering(lambda request: httpx.Response(200))

    found = embedder_of(name, wire, provider, lambda model: None)

    assert (None if found is None else type(found._dialect)) is kind  # type: ignore[attr-defined]


async def test_the_mock_makes_vectors_of_unit_length_that_obey_its_directives() -> None:
    embedder = embedder_of("mock", "mock", mock(), lambda model: None)
    assert embedder is not None

    read = await embedder.embed(embed_call("a b", "[[usage: 9/0]]", provider="mock", dimensions=8, deadline=2000.0))

    assert [len(vector) for vector in read.vectors] == [8, 8]
    assert sum(component**2 for component in read.vectors[0]) == pytest.approx(1.0)
    assert (read.usage.input_tokens, read.usage.output_tokens) == (9, 0)


def test_the_mocks_vectors_are_the_same_each_time_even_where_words_cancel_out() -> None:
    assert mock_vector("a b", 3) == mock_vector("A  b", 3)
    assert {sum(component**2 for component in mock_vector(f"w{number}", 1)) for number in range(40)} == {1.0}
    assert sum(component**2 for component in mock_vector("  ", 8)) == pytest.approx(1.0)
