"""Request embeddings over HTTP, whichever wire the provider uses."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Protocol

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.errors import ProviderProtocolError
from ...core.request import Attempt
from ..http.provider import HttpProvider
from ..wires.json_codec import decode_json, looks_like_html
from ..wires.wire import HttpRequest

FLOAT32 = "f"
"""The array type code of vector components: single precision, as providers send and the API carries."""


class EmbeddingWire(Protocol):
    """The embeddings API of one provider. Pure."""

    def encode(self, attempt: Attempt[EmbedCall], generation_request: HttpRequest) -> HttpRequest:
        """Return the request for all of `call.inputs`.

        `generation_request` is the wire's generation request: the embeddings URL derives from its URL, and its headers
        hold the API key.
        """
        ...

    def decode(self, body: bytes) -> EmbeddingBatch:
        """Return the vectors in the order of the inputs. Raises GatewayError for an error or an invalid response."""
        ...


class HttpEmbedder:
    """Request embeddings with the API keys and connections of an HttpProvider."""

    def __init__(self, provider: HttpProvider, wire: EmbeddingWire) -> None:
        self._provider = provider
        self._wire = wire

    async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
        """Return one vector for each of `call.inputs`. Raises GatewayError."""

        def encode(key: str) -> HttpRequest:
            return self._wire.encode(attempt, self._provider.wire.encode(attempt, key))

        return await self._provider.exchange(attempt, encode, self._wire.decode)


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a response body. Raises ProviderProtocolError if the body is anything else."""
    try:
        value = decode_json(body)
    except ValueError as error:
        kind = "an HTML page" if looks_like_html(body) else "not valid JSON"
        raise ProviderProtocolError(f"The provider's response is {kind} ({len(body)} bytes).") from error
    if not isinstance(value, dict):
        raise ProviderProtocolError(f"The provider's response must be a JSON object, got {type(value).__name__}.")
    return value


def parse_vector(value: object) -> array[float]:
    """Return a vector given as numbers or as base64 of little-endian floats. Raises ProviderProtocolError.

    >>> parse_vector("AACAPwAAAMA=").tolist()
    [1.0, -2.0]
    """
    try:
        if isinstance(value, str):
            return _unpack(base64.b64decode(value, validate=True))
        if isinstance(value, list) and value:
            return array(FLOAT32, value)
    except (binascii.Error, TypeError, ValueError, OverflowError) as error:
        raise ProviderProtocolError("The provider's response contains an unreadable vector.") from error
    raise ProviderProtocolError("The provider's response is missing a vector.")


def sort_by_index(vectors: Sequence[tuple[int, Vector]]) -> tuple[Vector, ...]:
    """Return the vectors ordered by index. Raises ProviderProtocolError if an index is missing or repeated."""
    if sorted(index for index, _ in vectors) != list(range(len(vectors))):
        raise ProviderProtocolError("The vector indices in the provider's response must run from 0 without gaps.")
    return tuple(vector for _, vector in sorted(vectors, key=lambda indexed: indexed[0]))


def _unpack(data: bytes) -> array[float]:
    components: array[float] = array(FLOAT32)
    components.frombytes(data)
    if sys.byteorder == "big":  # pragma: no cover  # no such machine at hand
        components.byteswap()
    if not components:
        raise ValueError("empty")
    return components
