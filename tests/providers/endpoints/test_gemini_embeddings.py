"""Gemini embeddings: the requests for one input and for several, and the responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aimanager_server.catalog.catalog import Catalog
from aimanager_server.core.embedding import EmbeddingPurpose
from aimanager_server.core.errors import ProviderProtocolError
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.providers.endpoints.gemini_embeddings import PURPOSE_PREFIXES, TASK_TYPES, GeminiEmbeddings
from aimanager_server.providers.wires.wire import HttpRequest
from tests.support.embeddings import embed_attempt

MODEL_URL = "https://g.test/v1beta/models/gemini-embedding-2"
GEMINI_REQUEST = HttpRequest("POST", f"{MODEL_URL}:generateContent", {"x-goog-api-key": "k"})
CATALOG = Catalog.load()


def body(request: HttpRequest) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(request.body)
    return value


def gemini() -> GeminiEmbeddings:
    return GeminiEmbeddings(lambda model: CATALOG.find("gemini", model))


def test_several_inputs_are_sent_as_a_batch() -> None:
    sent = gemini().encode(embed_attempt("a", "b", model="gemini-embedding-2", dimensions=768), GEMINI_REQUEST)

    assert (sent.url, sent.headers) == (
        f"{MODEL_URL}:batchEmbedContents",
        GEMINI_REQUEST.headers,
    )
    assert body(sent)["requests"] == [
        {"model": "models/gemini-embedding-2", "outputDimensionality": 768, "content": {"parts": [{"text": text}]}}
        for text in ("a", "b")
    ]


def test_a_single_input_is_sent_without_a_batch() -> None:
    sent = gemini().encode(embed_attempt("a", model="gemini-embedding-2", options={"title": "T"}), GEMINI_REQUEST)

    assert sent.url == f"{MODEL_URL}:embedContent"
    assert body(sent) == {"model": "models/gemini-embedding-2", "content": {"parts": [{"text": "a"}]}, "title": "T"}


@pytest.mark.parametrize("purpose", EmbeddingPurpose)
def test_the_purpose_is_sent_as_the_model_expects(purpose: EmbeddingPurpose) -> None:
    def request(model: str) -> dict[str, Any]:
        sent = gemini().encode(embed_attempt("a", model=model, purpose=purpose), GEMINI_REQUEST)
        return body(sent)

    older, newer, unknown = (request(name) for name in ("gemini-embedding-001", "models/gemini-embedding-2", "other"))

    assert (older["taskType"], older["content"]) == (TASK_TYPES[purpose], {"parts": [{"text": "a"}]})
    assert ("taskType" in newer, newer["content"]) == (False, {"parts": [{"text": PURPOSE_PREFIXES[purpose] + "a"}]})
    assert ("taskType" in unknown, unknown["content"]) == (False, {"parts": [{"text": "a"}]})


def test_batch_vectors_are_read_in_order() -> None:
    response = {"embeddings": [{"values": [1, 2]}, {"values": [3, 4]}], "usageMetadata": {"promptTokenCount": 5}}

    batch = gemini().decode(json.dumps(response).encode())

    assert [list(vector) for vector in batch.vectors] == [[1.0, 2.0], [3.0, 4.0]]
    assert batch.usage == Usage(5, source=UsageSource.REPORTED)


def test_a_single_vector_is_read() -> None:
    batch = gemini().decode(b'{"embedding": {"values": [1, 2]}}')

    assert [list(vector) for vector in batch.vectors] == [[1.0, 2.0]]
    assert batch.usage.source is UsageSource.MISSING


@pytest.mark.parametrize("response", [b"{}", b'{"embeddings": [1]}', b'{"embeddings": [{}]}'])
def test_responses_without_vectors_are_rejected(response: bytes) -> None:
    with pytest.raises(ProviderProtocolError):
        gemini().decode(response)
