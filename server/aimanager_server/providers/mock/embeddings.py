"""The mock provider beside its answers: vectors and counts, which obey the directives in a text as answers do."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from hashlib import shake_128

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.request import Call
from .provider import Mock

DIMENSIONS = 64
"""Where nobody says how long a vector shall be."""

PLACES = 8
"""Components that one word moves."""


class MockEmbedder:
    """Vectors of unit length, the same for the same text; words in common bring two near each other."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock

    async def embed(self, call: EmbedCall) -> EmbeddingBatch:
        """The vectors, after whatever the texts tell the mock to do."""
        completion = await (await self._mock(call)).result()
        usage = replace(completion.finished.usage, output_tokens=0, reasoning_tokens=0)
        dimensions = call.dimensions or DIMENSIONS
        return EmbeddingBatch(tuple(mock_vector(text, dimensions) for text in call.inputs), usage)


class MockCounter:
    """Counts as the mock's answers do."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock

    async def count_tokens(self, call: Call) -> int:
        """Words, and what else the mock takes for a token."""
        completion = await (await self._mock(call)).result()
        return completion.finished.usage.input_tokens


def mock_vector(text: str, dimensions: int) -> Vector:
    """A vector of unit length.

    >>> near, far = mock_vector("a red fox", 64), mock_vector("stock prices fell", 64)
    >>> fox = mock_vector("the red fox", 64)
    >>> sum(a * b for a, b in zip(fox, near)) > sum(a * b for a, b in zip(fox, far))
    True
    """
    components = [0.0] * dimensions
    for word in text.lower().split() or [text]:
        digest = shake_128(word.encode()).digest(PLACES * 4)
        for start in range(0, len(digest), 4):
            number = int.from_bytes(digest[start : start + 4], "little")
            components[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.hypot(*components)
    if not length:
        components[0] = length = 1.0
    return array("f", (component / length for component in components))
