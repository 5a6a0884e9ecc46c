"""Turns texts into vectors over HTTP, whatever the wire."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Sequence
from typing import Any, Protocol

from ...core.embedding import EmbedCall, EmbeddingBatch, Vector
from ...core.errors import ProviderProtocolError
from ..http.provider import HttpProvider
from ..wires.dialect import HttpRequest
from ..wires.json_codec import looks_like_html, read_json

COMPONENT = "f"
"""Four bytes each: what providers send, and what the API carries."""


class EmbeddingDialect(Protocol):
    """One provider's words for ours, where vectors are asked for. Pure."""

    def encode(self, call: EmbedCall, asked: HttpRequest) -> HttpRequest:
        """The request for all of `call.inputs`.

        `asked` is what the wire would send for an answer: its address leads to the one of vectors, its headers hold
        the key.
        """
        ...

    def decode(self, body: bytes) -> EmbeddingBatch:
        """The vectors, in the order of the inputs. Raises GatewayError where the body is an error or not an answer."""
        ...


class HttpEmbedder:
    """Asks one provider for vectors, with its keys and over its connections."""

    def __init__(self, provider: HttpProvider, dialect: EmbeddingDialect) -> None:
        self._provider = provider
        self._dialect = dialect

    async def embed(self, call: EmbedCall) -> EmbeddingBatch:
        """The vectors of `call.inputs`. Raises GatewayError."""

        def encode(key: str) -> HttpRequest:
            return self._dialect.encode(call, self._provider.dialect.encode(call, key))

        return await self._provider.fetch(call, encode, self._dialect.decode)


def object_in(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises ProviderProtocol."""
    try:
        value = read_json(body)
    except ValueError as error:
        what = "a web page" if looks_like_html(body) else "not JSON"
        raise ProviderProtocolError(f"The answer is {what}, of {len(body)} bytes.") from error
    if not isinstance(value, dict):
        raise ProviderProtocolError(f"The answer is {type(value).__name__!r} instead of an object.")
    return value


def vector(value: object) -> array[float]:
    """A vector, told as numbers or as base64 of little-endian components. Raises ProviderProtocol.

    >>> vector("AACAPwAAAMA=").tolist()
    [1.0, -2.0]
    """
    try:
        if isinstance(value, str):
            return _unpacked(base64.b64decode(value, validate=True))
        if isinstance(value, list) and value:
            return array(COMPONENT, value)
    except (binascii.Error, TypeError, ValueError, OverflowError) as error:
        raise ProviderProtocolError("The answer holds a vector that cannot be read.") from error
    raise ProviderProtocolError("The answer holds no vector where one was expected.")


def in_order(vectors: Sequence[tuple[int, Vector]]) -> tuple[Vector, ...]:
    """The vectors by index. Raises ProviderProtocol where one is missing or there twice."""
    if sorted(index for index, _ in vectors) != list(range(len(vectors))):
        raise ProviderProtocolError("The answer does not number its vectors from 0 without gaps.")
    return tuple(each for _, each in sorted(vectors, key=lambda numbered: numbered[0]))


def _unpacked(data: bytes) -> array[float]:
    components: array[float] = array(COMPONENT)
    components.frombytes(data)
    if sys.byteorder == "big":  # pragma: no cover  # no such machine at hand
        components.byteswap()
    if not components:
        raise ValueError("empty")
    return components
