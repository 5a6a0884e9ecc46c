"""Embeddings and token counts of the mock provider. Directives in the input apply as they do for generation."""

from __future__ import annotations

import math
import struct
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import shake_128
from typing import Any

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.errors import ContextTooLong
from ...core.request import Attempt
from .provider import MockProvider

DEFAULT_DIMENSIONS = 64
MAX_INPUT_LENGTH = 65_536
"""Characters of one input: eight for each token of the context window of mock-embedding."""

COUNTED_PER_STEP, WORDS_PER_STEP = 4096, 256

_COMPONENTS = struct.Struct("<8I")
"""The numbers that each word contributes to a vector."""


class MockEmbedder:
    """Return deterministic vectors of unit length. Texts with words in common have similar vectors."""

    def __init__(self, mock: MockProvider) -> None:
        self._mock = mock

    async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
        """Apply the directives in the inputs, then return one vector per input. Raises ContextTooLong."""
        pace = self._mock.pace()
        inputs = attempt.call.inputs
        for text in inputs:
            _check_length(text, attempt)
        result = await (await self._mock(attempt)).result()
        usage = replace(result.finished.usage, output_tokens=0, reasoning_tokens=0)
        dimensions = attempt.call.dimensions or DEFAULT_DIMENSIONS
        vectors = []
        for text in inputs:
            vector = _VectorBuilder(text, dimensions)
            for _ in vector.steps():
                if pace.is_due():
                    await pace.pause()
            vectors.append(vector.result())
        return EmbeddingBatch(tuple(vectors), usage)


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
    vector = _VectorBuilder(text, dimensions)
    for _ in vector.steps():
        pass
    return vector.result()


class _VectorBuilder:
    """Computes one vector: run `steps` to its end, then read `result`."""

    def __init__(self, text: str, dimensions: int) -> None:
        self._text = text
        self._components = [0.0] * dimensions

    def steps(self) -> Iterator[None]:
        """Add the words in short steps."""
        components, dimensions = self._components, len(self._components)
        words = self._text.lower().split() or [self._text]
        counts: Counter[str] = Counter()
        for start in range(0, len(words), COUNTED_PER_STEP):
            counts.update(words[start : start + COUNTED_PER_STEP])
            yield
        for position, (word, count) in enumerate(counts.items()):
            for number in _COMPONENTS.unpack(shake_128(word.encode()).digest(_COMPONENTS.size)):
                components[(number >> 1) % dimensions] += count if number & 1 else -count
            if position % WORDS_PER_STEP == 0:
                yield

    def result(self) -> Vector:
        """Return the vector."""
        components = self._components
        length = math.hypot(*components)
        if not length:
            components[0] = length = 1.0
        return array("f", (component / length for component in components))


def _check_length(text: str, attempt: Attempt[Any]) -> None:
    if len(text) > MAX_INPUT_LENGTH:
        provider, model = attempt.target.key
        raise ContextTooLong(
            f"Model {model!r} embeds inputs of at most {MAX_INPUT_LENGTH} characters, got {len(text)}.",
            solution=f"Split the input into texts of at most {MAX_INPUT_LENGTH} characters.",
            provider=provider,
            model=model,
        )
