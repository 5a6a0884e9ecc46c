"""Embeddings of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .._convert.scalars import enum_word, read_cost
from ..v1 import embedding_pb2, usage_pb2
from .usage import Usage, read_usage


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A sequence of vectors, one per input text and in their order. `proto` is the message from the server.

    >>> vectors = Embeddings(embedding_pb2.EmbedResponse(embeddings=[embedding_pb2.Embedding(values=[0.5, 1.0])]))
    >>> len(vectors), list(vectors[0])
    (1, [0.5, 1.0])
    """

    proto: embedding_pb2.EmbedResponse

    def __len__(self) -> int:
        return len(self.proto.embeddings)

    def __getitem__(self, index: int) -> Sequence[float]:
        return self.proto.embeddings[index].values

    def __iter__(self) -> Iterator[Sequence[float]]:
        return (embedding.values for embedding in self.proto.embeddings)

    @property
    def provider(self) -> str:
        """Provider that computed the vectors."""
        return self.proto.provider

    @property
    def model(self) -> str:
        """Model that computed the vectors, without the provider."""
        return self.proto.model

    @property
    def usage(self) -> Usage:
        """Tokens of all inputs together."""
        return read_usage(self.proto.usage)

    @property
    def cost(self) -> Decimal | None:
        """Cost in `currency`; None, not zero, if the price is unknown."""
        return read_cost(self.proto, "cost")

    @property
    def currency(self) -> str:
        """Currency of the cost, such as USD."""
        return self.proto.cost.currency_code

    @property
    def cache_status(self) -> str:
        """`miss` for new vectors, `idempotent_replay` for those of an earlier call with the same idempotency key."""
        return enum_word(usage_pb2.CacheStatus, self.proto.cache_status)

    def __repr__(self) -> str:
        return f"Embeddings(provider={self.provider!r}, model={self.model!r}, count={len(self)})"
