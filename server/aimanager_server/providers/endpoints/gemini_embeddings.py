"""Vectors from Gemini: `:embedContent` for one input, `:batchEmbedContents` with a small request each for several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import to_json

from ...catalog.model import Model
from ...core.embedding import EmbedCall, EmbeddingBatch, EmbeddingPurpose
from ...core.errors import ProviderProtocolError
from ...core.usage import Usage, UsageSource
from ..wires.dialect import HttpRequest
from ..wires.native_options import merged
from ..wires.provider_errors import fault_inside
from .embeddings import object_in, vector

# https://ai.google.dev/gemini-api/docs/embeddings, read 2026-11-22.
TASK_TYPES: Mapping[EmbeddingPurpose, str] = {
    EmbeddingPurpose.DOCUMENT: "RETRIEVAL_DOCUMENT",
    EmbeddingPurpose.QUERY: "RETRIEVAL_QUERY",
    EmbeddingPurpose.SIMILARITY: "SEMANTIC_SIMILARITY",
    EmbeddingPurpose.CLASSIFICATION: "CLASSIFICATION",
    EmbeddingPurpose.CLUSTERING: "CLUSTERING",
}
PREFIXES: Mapping[EmbeddingPurpose, str] = {
    EmbeddingPurpose.DOCUMENT: "title: none | text: ",
    EmbeddingPurpose.QUERY: "task: search result | query: ",
    EmbeddingPurpose.SIMILARITY: "task: sentence similarity | query: ",
    EmbeddingPurpose.CLASSIFICATION: "task: classification | query: ",
    EmbeddingPurpose.CLUSTERING: "task: clustering | query: ",
}


class GeminiEmbeddings:
    """The dialect. `facts` says how a model is told what the vectors are for; an unknown one is not told."""

    def __init__(self, facts: Callable[[str], Model | None]) -> None:
        self._facts = facts

    def encode(self, call: EmbedCall, asked: HttpRequest) -> HttpRequest:
        """All inputs in one request; native options go to each of them."""
        model = call.target.model.removeprefix("models/")
        requests = [self._request(call, model, text) for text in call.inputs]
        place = asked.url.rpartition(":")[0]
        if len(requests) == 1:
            return replace(asked, url=f"{place}:embedContent", body=to_json(requests[0]))
        return replace(asked, url=f"{place}:batchEmbedContents", body=to_json({"requests": requests}))

    def decode(self, body: bytes) -> EmbeddingBatch:
        """The vectors, which come in the order of the requests."""
        answer = object_in(body)
        if answer.get("error"):
            raise fault_inside(answer)
        data = [answer["embedding"]] if "embedding" in answer else answer.get("embeddings")
        if not isinstance(data, list):
            raise ProviderProtocolError("The answer holds no list of vectors.")
        values = (item.get("values") if isinstance(item, Mapping) else None for item in data)
        return EmbeddingBatch(tuple(map(vector, values)), _usage(answer.get("usageMetadata")))

    def _request(self, call: EmbedCall, model: str, text: str) -> dict[str, Any]:
        found = self._facts(model)
        how = found.embedding.purpose if found is not None and found.embedding is not None else "none"
        request: dict[str, Any] = {"model": f"models/{model}"}
        if call.purpose is not None and how == "field":
            request["taskType"] = TASK_TYPES[call.purpose]
        if call.purpose is not None and how == "prefix":
            text = PREFIXES[call.purpose] + text
        if call.dimensions is not None:
            request["outputDimensionality"] = call.dimensions
        return merged({**request, "content": {"parts": [{"text": text}]}}, call.target.options)


def _usage(value: object) -> Usage:
    tokens = value.get("promptTokenCount") if isinstance(value, Mapping) else None
    return Usage(tokens, source=UsageSource.REPORTED) if isinstance(tokens, int) and tokens > 0 else Usage()
