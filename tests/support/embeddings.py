"""Embedding calls, responses and a fake embedder."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from aimanager_server.config.resilience import IdempotencySettings
from aimanager_server.core.embedding import EmbedCall, EmbeddingBatch, EmbeddingPurpose, inputs_as_message
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import NO_KEY, ApiKey, Attempt, Caller, Target
from aimanager_server.core.usage import Usage, UsageSource
from aimanager_server.storage.memory_idempotency import MemoryIdempotency
from tests.support.clock import FakeClock


def idempotency_store() -> MemoryIdempotency:
    """Return an empty store."""
    return MemoryIdempotency(IdempotencySettings(), FakeClock())


def embed_call(
    *inputs: str,
    provider: str = "upstream",
    model: str = "some-embedding",
    dimensions: int | None = None,
    purpose: EmbeddingPurpose | None = None,
    options: Mapping[str, Any] | None = None,
    deadline: float = 1e9,
    **fields: Any,
) -> EmbedCall:
    fields.setdefault("caller", Caller("ann", "free"))
    return EmbedCall(
        id="call-1",
        requested_model=model,
        messages=(inputs_as_message(inputs),),
        targets=(Target(provider, model, options=options or {}),),
        deadline=deadline,
        dimensions=dimensions,
        purpose=purpose,
        **fields,
    )


def embed_attempt(*inputs: str, api_key: ApiKey = NO_KEY, **fields: Any) -> Attempt[EmbedCall]:
    """Return an attempt at an embedding call. `fields` are those of `embed_call`."""
    call = embed_call(*inputs, **fields)
    return Attempt.of(call, call.target, 0.0, api_key=api_key)


def base64_vector(*components: float) -> str:
    """Return a vector in OpenAI's base64 encoding."""
    return base64.b64encode(array("f", components).tobytes()).decode()


def embeddings_response(*vectors: object, tokens: int = 7) -> bytes:
    """Return a response in OpenAI's format, in reverse order so that only the index identifies a vector."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in reversed([*enumerate(vectors)])
    ]
    return json.dumps(
        {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    ).encode()


class LengthEmbedder:
    """An embedder whose vectors hold the length of each text. It raises the result of `error_for`, if any."""

    def __init__(self, error_for: Callable[[tuple[str, ...]], GatewayError | None] = lambda inputs: None) -> None:
        self.batches: list[tuple[str, ...]] = []
        self._error_for = error_for

    async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
        call = attempt.call
        self.batches.append(call.inputs)
        error = self._error_for(call.inputs)
        if error is not None:
            raise error
        usage = Usage(len(call.inputs), source=UsageSource.REPORTED)
        return EmbeddingBatch(tuple((float(len(text)),) for text in call.inputs), usage)
