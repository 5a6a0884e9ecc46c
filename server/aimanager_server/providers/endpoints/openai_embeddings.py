"""Request embeddings from OpenAI's `/embeddings` endpoint and from the servers that follow it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import to_json

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.errors import ProviderProtocolError
from ...core.request import Attempt
from ...core.usage import Usage
from ..wires.native_options import deep_merge
from ..wires.provider_errors import error_in_success
from ..wires.token_counts import TokenCounts
from ..wires.wire import HttpRequest
from .embeddings import parse_json_object, parse_vector, sort_by_index


@dataclass(frozen=True, slots=True)
class EmbeddingQuirks:
    """Differences between servers.

    `prefers_base64`: request base64 vectors, a quarter of the bytes. Both encodings are always accepted in responses.
    """

    dimensions_field: Literal["dimensions", "output_dimension"] = "dimensions"
    prefers_base64: bool = False


# https://platform.openai.com/docs/api-reference/embeddings and https://docs.mistral.ai/api/endpoint/embeddings,
# read 2026-11-22.
OPENAI = EmbeddingQuirks(prefers_base64=True)
MISTRAL = EmbeddingQuirks(dimensions_field="output_dimension")
DEFAULT = EmbeddingQuirks()

GENERATION_PATH = re.compile(r"/(?:chat/completions|responses)(?=\?|$)")
"""The end of the path of a generation URL."""


class OpenAIEmbeddings:
    """The OpenAI embeddings wire with the quirks of one server. Options configured for generation are not sent."""

    def __init__(self, quirks: EmbeddingQuirks = DEFAULT) -> None:
        self._quirks = quirks

    def encode(self, attempt: Attempt[EmbedCall], generation_request: HttpRequest) -> HttpRequest:
        """Return one request for all inputs, to `/embeddings` next to the generation endpoint."""
        target = attempt.target
        body: dict[str, Any] = {"model": target.model, "input": list(attempt.call.inputs)}
        if attempt.call.dimensions is not None:
            body[self._quirks.dimensions_field] = attempt.call.dimensions
        if self._quirks.prefers_base64:
            body["encoding_format"] = "base64"
        url = GENERATION_PATH.sub("/embeddings", generation_request.url, count=1)
        return replace(generation_request, url=url, body=to_json(deep_merge(body, target.options)))

    def decode(self, body: bytes) -> EmbeddingBatch:
        """Return the vectors ordered by index, and the token usage."""
        response = parse_json_object(body)
        if response.get("error") or response.get("object") == "error":
            raise error_in_success(response)
        data = response.get("data")
        if not isinstance(data, list):
            raise ProviderProtocolError("The provider's response is missing the list of vectors.")
        indexed = [_parse_item(position, item) for position, item in enumerate(data)]
        return EmbeddingBatch(sort_by_index(indexed), _usage(response.get("usage")))


def _parse_item(position: int, item: object) -> tuple[int, Vector]:
    if not isinstance(item, Mapping):
        raise ProviderProtocolError("The provider's response is missing a vector.")
    index = item.get("index")
    return index if isinstance(index, int) else position, parse_vector(item.get("embedding"))


def _usage(value: object) -> Usage:
    tokens = value.get("prompt_tokens") or value.get("total_tokens") if isinstance(value, Mapping) else None
    return TokenCounts(input_tokens=tokens).usage()
