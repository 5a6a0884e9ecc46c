"""Embeddings and token counts of the mock provider. Directives in the input apply as they do for generation."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from hashlib import shake_128
from typing import Any

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.request import Attempt
from .provider import MockProvider

DEFAULT_DIMENSIONS = 64
COMPONENTS_PER_WORD = 8


class MockEmbedder:
    """Return deterministic vectors of unit length. Texts with words in common have similar vectors."""

    def __init__(self, mock: MockProvider) -> None:
        self._mock = mock

    async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
        """Apply the directives in the inputs, then return one vector per input."""
        result = await (await self._mock(attempt)).result()
        usage = replace(result.finished.usage, output_tokens=0, reasoning_tokens=0)
        dimensions = attempt.call.dimensions or DEFAULT_DIMENSIONS
        return EmbeddingBatch(tuple(mock_vector(text, dimensions) for text in attempt.call.inputs), usage)


class MockTokenCounter:
    """Count tokens as the mock provider bills them."""

    def __init__(self, mock: MockProvider) -> None:
        self._mock = mock

    async def count_tokens(self, attempt: Attempt[Any]) -> int:
        """Apply the directives in the prompt, then return its number of tokens."""
        result = await (await self._mock(attempt)).result()
        return result.finished.usage.input_tokens


def mock_vector(text: str, dimensions: int) -> Vector:
    """Return a vector of unit length.

    >>> near, far = mock_vector("a red fox", 64), mock_vector("stock prices fell", 64)
    >>> fox = mock_vector("the red fox", 64)
    >>> sum(a * b for a, b in zip(fox, near)) > sum(a * b for a, b in zip(fox, far))
    True
    """
    components = [0.0] * dimensions
    for word in text.lower().split() or [text]:
        digest = shake_128(word.encode()).digest(COMPONENTS_PER_WORD * 4)
        for start in range(0, len(digest), 4):
            number = int.from_bytes(digest[start : start + 4], "little")
            components[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.hypot(*components)
    if not length:
        components[0] = length = 1.0
    return array("f", (component / length for component in components))
