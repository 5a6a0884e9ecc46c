"""Texts to turn into vectors: as asked, as decided, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, Self

from .content import Message, Role, Text
from .request import Call
from .usage import Cost, Usage

Vector = Sequence[float]
"""Components of single precision; usually an `array` of them."""


class EmbeddingPurpose(StrEnum):
    """What vectors are for."""

    DOCUMENT = "document"
    QUERY = "query"
    SIMILARITY = "similarity"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"


@dataclass(frozen=True, slots=True)
class EmbedParams:
    """What the client sent, well formed but not yet decided. None is "not said"."""

    inputs: tuple[str, ...]
    model: str = ""
    dimensions: int | None = None
    purpose: EmbeddingPurpose | None = None
    provider_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbedCall(Call):
    """A call for vectors. Its one message holds one Text for each input, so that every layer can treat it as a call."""

    dimensions: int | None = None
    purpose: EmbeddingPurpose | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The texts, in order."""
        return tuple(part.text for message in self.messages for part in message.parts if isinstance(part, Text))

    def with_inputs(self, inputs: Sequence[str]) -> Self:
        """The same call for these texts."""
        return replace(self, messages=(message_of_inputs(inputs),))


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """What one exchange with a provider brought: one vector for each input, in order."""

    vectors: tuple[Vector, ...]
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """A whole answer: one vector for each input, in order, and what all of it took together."""

    provider: str
    model: str
    vectors: tuple[Vector, ...]
    usage: Usage
    cost: Cost | None = None


class Embedder(Protocol):
    """A provider that turns texts into vectors."""

    async def embed(self, call: EmbedCall) -> EmbeddingBatch:
        """The vectors of `call.inputs`, in one exchange with `call.target`'s provider. Raises GatewayError."""
        ...


def message_of_inputs(inputs: Sequence[str]) -> Message:
    """The inputs as a turn of the user."""
    return Message(Role.USER, tuple(map(Text, inputs)))
