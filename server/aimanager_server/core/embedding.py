"""Embedding requests, resolved calls and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from typing import Any, Protocol, Self

from .content import Message, Role, Text
from .errors import FieldViolation
from .request import Attempt, Call
from .response import CacheStatus
from .usage import Cost, Usage
from .value import dataclass

Vector = Sequence[float]
"""Components of single precision; usually an `array` of them."""


class EmbeddingPurpose(StrEnum):
    """Intended use of the vectors."""

    DOCUMENT = "document"
    QUERY = "query"
    SIMILARITY = "similarity"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"


@dataclass(frozen=True, slots=True)
class EmbedParams:
    """An embedding request as sent by the client, parsed but not yet resolved. None means "not set".

    `violations` were found while parsing; validation reports them together with its own.
    """

    inputs: tuple[str, ...]
    model: str = ""
    dimensions: int | None = None
    purpose: EmbeddingPurpose | None = None
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    idempotency_key: str = ""
    violations: tuple[FieldViolation, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbedCall(Call):
    """A resolved embedding call. Its only message has one `Text` per input, so that layers can treat it as any call."""

    dimensions: int | None = None
    purpose: EmbeddingPurpose | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the input texts in order."""
        return tuple(part.text for message in self.messages for part in message.parts if isinstance(part, Text))

    def with_inputs(self, inputs: Sequence[str]) -> Self:
        """Return the same call with other input texts."""
        return replace(self, messages=(inputs_as_message(inputs),))


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """The result of one upstream request: one vector per input, in order."""

    vectors: tuple[Vector, ...]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """A complete result: one vector per input, in order, with the total usage and cost."""

    provider: str
    model: str
    vectors: tuple[Vector, ...]
    usage: Usage
    cost: Cost | None = None
    cache_status: CacheStatus = CacheStatus.MISS


class Embedder(Protocol):
    """A provider that embeds texts."""

    async def embed(self, attempt: Attempt[EmbedCall]) -> EmbeddingBatch:
        """Embed `attempt.call.inputs` in one request to the provider of `attempt.target`. Raises GatewayError."""
        ...


def inputs_as_message(inputs: Sequence[str]) -> Message:
    """Return a user message with one `Text` per input."""
    return Message(Role.USER, tuple(map(Text, inputs)))
