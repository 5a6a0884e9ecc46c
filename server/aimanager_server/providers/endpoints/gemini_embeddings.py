"""Request embeddings from Gemini: `:embedContent` for one input, `:batchEmbedContents` for several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import to_json

from ...catalog.model import Model
from ...core.embedding import EmbedCall, EmbeddingBatch, EmbeddingPurpose
from ...core.errors import ProviderProtocolError
from ...core.request import Attempt
from ...core.usage import Usage
from ..wires.native_options import deep_merge
from ..wires.provider_errors import error_in_success
from ..wires.token_counts import TokenCounts
from ..wires.wire import HttpRequest
from .embeddings import parse_json_object, parse_vector

# https://ai.google.dev/gemini-api/docs/embeddings, read 2026-11-22.
TASK_TYPES: Mapping[EmbeddingPurpose, str] = {
    EmbeddingPurpose.DOCUMENT: "RETRIEVAL_DOCUMENT",
    EmbeddingPurpose.QUERY: "RETRIEVAL_QUERY",
    EmbeddingPurpose.SIMILARITY: "SEMANTIC_SIMILARITY",
    EmbeddingPurpose.CLASSIFICATION: "CLASSIFICATION",
    EmbeddingPurpose.CLUSTERING: "CLUSTERING",
}
PURPOSE_PREFIXES: Mapping[EmbeddingPurpose, str] = {
    EmbeddingPurpose.DOCUMENT: "title: none | text: ",
    EmbeddingPurpose.QUERY: "task: search result | query: ",
    EmbeddingPurpose.SIMILARITY: "task: sentence similarity | query: ",
    EmbeddingPurpose.CLASSIFICATION: "task: classification | query: ",
    EmbeddingPurpose.CLUSTERING: "task: clustering | query: ",
}


class GeminiEmbeddings:
    """The Gemini embeddings wire.

    `find_model` supplies how a model receives the purpose: as a field or as a text prefix. Unknown models receive none.
    """

    def __init__(self, find_model: Callable[[str], Model | None]) -> None:
        self._find_model = find_model

    def encode(self, attempt: Attempt[EmbedCall], generation_request: HttpRequest) -> HttpRequest:
        """Return one request for all inputs; native options are merged into the part of each input."""
        model = attempt.target.model.removeprefix("models/")
        requests = [self._request(attempt, model, text) for text in attempt.call.inputs]
        model_url = generation_request.url.rpartition(":")[0]
        if len(requests) == 1:
            return replace(generation_request, url=f"{model_url}:embedContent", body=to_json(requests[0]))
        batch = to_json({"requests": requests})
        return replace(generation_request, url=f"{model_url}:batchEmbedContents", body=batch)

    def decode(self, body: bytes) -> EmbeddingBatch:
        """Return the vectors, which arrive in the order of the inputs."""
        response = parse_json_object(body)
        if response.get("error"):
            raise error_in_success(response)
        data = [response["embedding"]] if "embedding" in response else response.get("embeddings")
        if not isinstance(data, list):
            raise ProviderProtocolError("The provider's response is missing the list of vectors.")
        values = (item.get("values") if isinstance(item, Mapping) else None for item in data)
        return EmbeddingBatch(tuple(map(parse_vector, values)), _usage(response.get("usageMetadata")))

    def _request(self, attempt: Attempt[EmbedCall], model: str, text: str) -> dict[str, Any]:
        known = self._find_model(model)
        purpose_style = known.embedding.purpose if known is not None and known.embedding is not None else "none"
        request: dict[str, Any] = {"model": f"models/{model}"}
        if attempt.call.purpose is not None and purpose_style == "field":
            request["taskType"] = TASK_TYPES[attempt.call.purpose]
        if attempt.call.purpose is not None and purpose_style == "prefix":
            text = PURPOSE_PREFIXES[attempt.call.purpose] + text
        if attempt.call.dimensions is not None:
            request["outputDimensionality"] = attempt.call.dimensions
        return deep_merge({**request, "content": {"parts": [{"text": text}]}}, attempt.target.options)


def _usage(value: object) -> Usage:
    tokens = value.get("promptTokenCount") if isinstance(value, Mapping) else None
    return TokenCounts(input_tokens=tokens).usage()
