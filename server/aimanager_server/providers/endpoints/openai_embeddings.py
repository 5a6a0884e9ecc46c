"""Vectors from the servers of the chat-completions wire, which all have OpenAI's `/embeddings` where they have any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic_core import to_json

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.errors import ProviderProtocolError
from ...core.usage import Usage, UsageSource
from ..wires.dialect import HttpRequest
from ..wires.native_options import merged
from ..wires.provider_errors import fault_inside
from .embeddings import in_order, object_in, vector


@dataclass(frozen=True, slots=True)
class EmbeddingQuirks:
    """What differs among servers. `packed`: base64 is asked for, a quarter of the bytes; both forms are always read."""

    dimensions_field: Literal["dimensions", "output_dimension"] = "dimensions"
    packed: bool = False


# https://platform.openai.com/docs/api-reference/embeddings and https://docs.mistral.ai/api/endpoint/embeddings,
# read 2026-11-22.
OPENAI = EmbeddingQuirks(packed=True)
MISTRAL = EmbeddingQuirks(dimensions_field="output_dimension")
UNKNOWN = EmbeddingQuirks()

ANSWERS = re.compile(r"/(?:chat/completions|responses)(?=\?|$)")
"""Where an address says that it gives answers."""


class ChatEmbeddings:
    """The dialect, as one server speaks it. Options that the operator set for answers are not sent."""

    def __init__(self, quirks: EmbeddingQuirks = UNKNOWN) -> None:
        self._quirks = quirks

    def encode(self, call: EmbedCall, asked: HttpRequest) -> HttpRequest:
        """All inputs in one request, to `/embeddings` beside where answers come from."""
        target = call.target
        body: dict[str, Any] = {"model": target.model, "input": list(call.inputs)}
        if call.dimensions is not None:
            body[self._quirks.dimensions_field] = call.dimensions
        if self._quirks.packed:
            body["encoding_format"] = "base64"
        url = ANSWERS.sub("/embeddings", asked.url, count=1)
        return replace(asked, url=url, body=to_json(merged(body, target.options)))

    def decode(self, body: bytes) -> EmbeddingBatch:
        """The vectors by their index, and the tokens they took."""
        answer = object_in(body)
        if answer.get("error") or answer.get("object") == "error":
            raise fault_inside(answer)
        data = answer.get("data")
        if not isinstance(data, list):
            raise ProviderProtocolError("The answer holds no list of vectors.")
        numbered = [_numbered(place, item) for place, item in enumerate(data)]
        return EmbeddingBatch(in_order(numbered), _usage(answer.get("usage")))


def _numbered(place: int, item: object) -> tuple[int, Vector]:
    if not isinstance(item, Mapping):
        raise ProviderProtocolError("The answer holds no vector where one was expected.")
    index = item.get("index")
    return index if isinstance(index, int) else place, vector(item.get("embedding"))


def _usage(value: object) -> Usage:
    tokens = value.get("prompt_tokens") or value.get("total_tokens") if isinstance(value, Mapping) else None
    return Usage(tokens, source=UsageSource.REPORTED) if isinstance(tokens, int) and tokens > 0 else Usage()
