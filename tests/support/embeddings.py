"""Texts to embed, and small things that embed them."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Callable, Mapping
from typing import Any

from aimanager_server.core.embedding import EmbedCall, EmbeddingBatch, EmbeddingPurpose, message_of_inputs
from aimanager_server.core.errors import GatewayError
from aimanager_server.core.request import Caller, Target
from aimanager_server.core.usage import Usage, UsageSource


def embed_call(
    *inputs: str,
    provider: str = "upstream",
    model: str = "some-embedding",
    dimensions: int | None = None,
    purpose: EmbeddingPurpose | None = None,
    options: Mapping[str, Any] | None = None,
    deadline: float = 1e9,
    **more: Any,
) -> EmbedCall:
    more.setdefault("caller", Caller("ann", "free"))
    return EmbedCall(
        id="call-1",
        requested_model=model,
        messages=(message_of_inputs(inputs),),
        targets=(Target(provider, model, options=options or {}),),
        deadline=deadline,
        dimensions=dimensions,
        purpose=purpose,
        **more,
    )


def packed(*components: float) -> str:
    """As OpenAI packs a vector."""
    return base64.b64encode(array("f", components).tobytes()).decode()


def vectors_answer(*vectors: object, tokens: int = 7) -> bytes:
    """An answer of the chat-completions wire, last vector first: only the index says which is which."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in reversed([*enumerate(vectors)])
    ]
    return json.dumps(
        {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    ).encode()


class Lengths:
    """An embedder whose vectors say how long each text is; it may fail as told."""

    def __init__(self, refuse: Callable[[tuple[str, ...]], GatewayError | None] = lambda inputs: None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self._refuse = refuse

    async def embed(self, call: EmbedCall) -> EmbeddingBatch:
        self.asked.append(call.inputs)
        fault = self._refuse(call.inputs)
        if fault is not None:
            raise fault
        usage = Usage(len(call.inputs), source=UsageSource.REPORTED)
        return EmbeddingBatch(tuple((float(len(text)),) for text in call.inputs), usage)
