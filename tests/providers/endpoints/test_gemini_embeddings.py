"""Vectors from Gemini: what is sent for one text and for several, and what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalogue
from aimanager_server.core.embedding import EmbeddingPurpose
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.endpoints.gemini_embeddings import PREFIXES, TASK_TYPES, GeminiEmbeddings
from aimanager_server.providers.wires.dialect import HttpRequest
from tests.support.embeddings import embed_call

ASKED = HttpRequest("POST", "https://up.test/v1/chat/completions", {"Authorization": "Bearer k"}, b"{}")
GEMINI = HttpRequest("POST", "https://g.test/v1beta/models/gemini-embedding-2:generateContent", {"x-goog-api-key": "k"})
FACTS = Catalogue.load()


def body(request: HttpRequest) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(request.body)
    return value


def gemini() -> GeminiEmbeddings:
    return GeminiEmbeddings(lambda model: FACTS.find("gemini", model))


def test_gemini_takes_each_text_as_a_request() -> None:
    sent = gemini().encode(embed_call("a", "b", model="gemini-embedding-2", dimensions=768), GEMINI)

    assert (sent.url, sent.headers) == (
        "https://g.test/v1beta/models/gemini-embedding-2:batchEmbedContents",
        GEMINI.headers,
    )
    assert body(sent)["requests"] == [
        {"model": "models/gemini-embedding-2", "outputDimensionality": 768, "content": {"parts": [{"text": text}]}}
        for text in ("a", "b")
    ]


def test_gemini_takes_a_single_text_as_it_is() -> None:
    sent = gemini().encode(embed_call("a", model="gemini-embedding-2", options={"title": "T"}), GEMINI)

    assert sent.url == "https://g.test/v1beta/models/gemini-embedding-2:embedContent"
    assert body(sent) == {"model": "models/gemini-embedding-2", "content": {"parts": [{"text": "a"}]}, "title": "T"}


@pytest.mark.parametrize("purpose", EmbeddingPurpose)
def test_gemini_is_told_the_purpose_in_the_way_of_the_model(purpose: EmbeddingPurpose) -> None:
    def request(model: str) -> dict[str, Any]:
        sent = gemini().encode(embed_call("a", model=model, purpose=purpose), GEMINI)
        return body(sent)

    older, newer, unknown = (request(name) for name in ("gemini-embedding-001", "models/gemini-embedding-2", "other"))

    assert (older["taskType"], older["content"]) == (TASK_TYPES[purpose], {"parts": [{"text": "a"}]})
    assert ("taskType" in newer, newer["content"]) == (False, {"parts": [{"text": PREFIXES[purpose] + "a"}]})
    assert ("taskType" in unknown, unknown["content"]) == (False, {"parts": [{"text": "a"}]})


def test_geminis_vectors_come_in_order() -> None:
    answer = {"embeddings": [{"values": [1, 2]}, {"values": [3, 4]}], "usageMetadata": {"promptTokenCount": 5}}

    read = gemini().decode(json.dumps(answer).encode())

    assert [list(vector) for vector in read.vectors] == [[1.0, 2.0], [3.0, 4.0]]
    assert read.usage == Usage(5, source=UsageSource.REPORTED)


def test_geminis_single_vector_is_read() -> None:
    read = gemini().decode(b'{"embedding": {"values": [1, 2]}}')

    assert [list(vector) for vector in read.vectors] == [[1.0, 2.0]]
    assert read.usage.source is UsageSource.MISSING


@pytest.mark.parametrize("answer", [b"{}", b'{"embeddings": [1]}', b'{"embeddings": [{}]}'])
def test_what_gemini_does_not_say_is_refused(answer: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        gemini().decode(answer)
