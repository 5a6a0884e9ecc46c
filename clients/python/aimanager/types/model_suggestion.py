"""Suggested models, and token counts."""

from __future__ import annotations

from dataclasses import dataclass

from .._convert.scalars import enum_word
from ..v1 import model_pb2, usage_pb2
from .model import Model


@dataclass(frozen=True, slots=True)
class ModelSuggestion:
    """A model with its score, 0 to 1, and the reasons for it, the most important first.

    Scores are comparable within one response only.

    >>> ModelSuggestion(Model(model_pb2.Model(id="mock/mock-small")), 0.9, ("low cost",)).model.id
    'mock/mock-small'
    """

    model: Model
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Input tokens of a request. `source` is `reported` (by the provider) or `estimated` (by the gateway).

    `provider` and `model` are those whose tokenizer counts.

    >>> TokenCount(4, "estimated", "mock", "mock-small").input_tokens
    4
    """

    input_tokens: int
    source: str
    provider: str
    model: str


def read_token_count(response: model_pb2.CountTokensResponse) -> TokenCount:
    """Convert a token count from the server."""
    source = enum_word(usage_pb2.UsageSource, response.source)
    return TokenCount(response.input_tokens, source, response.provider, response.model)
