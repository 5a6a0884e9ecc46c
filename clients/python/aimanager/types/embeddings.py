"""Texts turned into vectors: what is asked for, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypedDict

from .._convert.checks import put, readable
from .._convert.requests import native_json
from .._convert.scalars import amount, words
from .._transport.settings import Setup
from ..errors import InvalidRequestError
from ..options import refuse_unknown
from ..v1 import embedding_pb2
from .usage import Usage, read_usage


class EmbedOptions(TypedDict, total=False):
    """What may be said beside the texts. Unset or None: the model's default.

    `model`: [provider/]id of a model that makes vectors; the gateway names some where it is missing. `dimensions`: the
    length of each vector. `purpose`: what they are for, where the model asks. `provider_options`: by provider, merged
    into its native request. `timeout`: seconds for the whole call.
    """

    model: str | None
    dimensions: int | None
    purpose: Literal["document", "query", "similarity", "classification", "clustering"] | None
    provider_options: Mapping[str, Mapping[str, object]] | None
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in their order: a sequence of them. `proto` is what travelled."""

    proto: embedding_pb2.EmbedResponse

    def __len__(self) -> int:
        return len(self.proto.embeddings)

    def __getitem__(self, index: int) -> Sequence[float]:
        return self.proto.embeddings[index].values

    def __iter__(self) -> Iterator[Sequence[float]]:
        return (embedding.values for embedding in self.proto.embeddings)

    @property
    def model(self) -> str:
        """provider/model that made them."""
        return self.proto.model

    @property
    def usage(self) -> Usage:
        """Tokens that all of them took."""
        return read_usage(self.proto.usage)

    @property
    def cost(self) -> Decimal | None:
        """Money in `currency`; None where no price is known, which is not zero."""
        return amount(self.proto, "cost")

    @property
    def currency(self) -> str:
        """Of the cost, such as USD."""
        return self.proto.cost.currency_code

    def __repr__(self) -> str:
        return f"Embeddings(model={self.model!r}, count={len(self)})"


def embed_request(inputs: str | Sequence[str], options: EmbedOptions, setup: Setup) -> embedding_pb2.EmbedRequest:
    """The texts as they travel; one text is a list of one. Raises InvalidRequestError for what cannot travel."""
    refuse_unknown("embed", options, EmbedOptions.__annotations__)
    model = options.get("model")
    purposes = words(embedding_pb2.EmbeddingPurpose)
    purpose = options.get("purpose") or ""
    if purpose not in purposes:
        accepted = ", ".join(name for name in purposes if name)
        raise InvalidRequestError(f"purpose cannot be {purpose!r}", solution=f"Use one of {accepted}.")
    texts = [inputs] if isinstance(inputs, str) else inputs
    request = embedding_pb2.EmbedRequest(
        # The client's own model answers questions; none of those makes vectors.
        model=setup.named(readable("model", model)) if model else "",
        inputs=[readable(f"inputs[{index}]", text) for index, text in enumerate(texts)],
        purpose=embedding_pb2.EmbeddingPurpose.ValueType(purposes[purpose]),
        provider_options_json=native_json(options.get("provider_options")),
    )
    put(request, "dimensions", "dimensions", options.get("dimensions"))
    return request
