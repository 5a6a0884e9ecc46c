"""Asks for models by what they can do, and reads what the gateway proposes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Self, TypedDict

from .._convert.checks import names, put, readable
from .._convert.scalars import word, words
from ..errors import InvalidRequestError
from ..options import refuse_unknown
from ..v1 import model_pb2, usage_pb2
from .model import Model

PAGE = 500

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "vision": "image_input",
        "images": "image_input",
        "pdf": "document_input",
        "documents": "document_input",
        "function_calling": "tool_calling",
        "tools": "tool_calling",
        "json_schema": "structured_output",
        "thinking": "reasoning",
    }
)
"""Other words for capabilities."""


class SuggestOptions(TypedDict, total=False):
    """What matters beside the capabilities that are required.

    `preferred`: capabilities that rank. `objective`: what matters most; unset: a balance. `min_context_window_tokens`:
    a model of which that is not known does not count. `providers`: only these. `max_results`: at most 50, unset 3.
    """

    preferred: Sequence[str]
    objective: Literal["quality", "speed", "cost"] | None
    min_context_window_tokens: int
    providers: Sequence[str]
    max_results: int


@dataclass(frozen=True, slots=True)
class ModelSuggestion:
    """A model, how well it fits (0 to 1, comparable within one answer only), and why, the weightiest first."""

    model: Model
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a whole input for `model`. `source` is `reported` (by the provider) or `estimated` (by the gateway)."""

    input_tokens: int
    source: str
    model: str

    @classmethod
    def read(cls, answer: model_pb2.CountTokensResponse) -> Self:
        """The count as the gateway tells it."""
        return cls(answer.input_tokens, word(usage_pb2.UsageSource, answer.source), answer.model)


def list_request(
    provider: str, capabilities: Sequence[str], *, available_only: bool, refresh: bool
) -> model_pb2.ListModelsRequest:
    """Asks for the first page. Raises InvalidRequestError for a capability that is not known."""
    return model_pb2.ListModelsRequest(
        page_size=PAGE,
        provider=readable("provider", provider),
        capabilities=_numbers(capabilities),
        available_only=available_only,
        refresh=refresh,
    )


def suggest_request(required: Sequence[str], options: SuggestOptions) -> model_pb2.SuggestModelsRequest:
    """Asks for models. Raises InvalidRequestError for what is not known or cannot travel."""
    refuse_unknown("suggest", options, ("required", *SuggestOptions.__annotations__))
    objectives = words(model_pb2.Objective)
    objective = options.get("objective") or ""
    if objective not in objectives:
        accepted = ", ".join(name for name in objectives if name)
        raise InvalidRequestError(f"no objective is named {objective!r}", solution=f"Use one of {accepted}.")
    request = model_pb2.SuggestModelsRequest(
        required=_numbers(required),
        preferred=_numbers(options.get("preferred", ())),
        objective=model_pb2.Objective.ValueType(objectives[objective]),
        providers=names("providers", options.get("providers", ())),
    )
    for count in ("min_context_window_tokens", "max_results"):
        put(request, count, count, options.get(count))
    return request


def read_suggestions(answer: model_pb2.SuggestModelsResponse) -> list[ModelSuggestion]:
    """The proposals, best first."""
    return [ModelSuggestion(Model(one.model), one.score, tuple(one.reasons)) for one in answer.suggestions]


def missing(provider: str, required: Sequence[str], models: Iterable[Model]) -> InvalidRequestError:
    """Says what none of a provider's models has, or that none has all of it."""
    offered = list(models)
    lacking = [name for name in required if not any(model.supports(named(name)) for model in offered)]
    what = ", ".join(lacking) if lacking else f"all of {', '.join(required)} at once"
    return InvalidRequestError(
        f"no model of {provider!r} is known to have {what}",
        reason="CAPABILITY_UNSUPPORTED",
        solution="Ask for less, or ask models.suggest() for models of every provider.",
        provider=provider,
    )


def named(capability: str) -> str:
    """The gateway's word for a capability.

    >>> named("vision"), named("reasoning")
    ('image_input', 'reasoning')
    """
    return SYNONYMS.get(capability, capability)


def _numbers(capabilities: Iterable[str]) -> list[model_pb2.Capability.ValueType]:
    known = words(model_pb2.Capability)
    for capability in capabilities:
        if not known.get(named(capability)):
            raise InvalidRequestError(
                f"no capability is named {capability!r}",
                solution=f"Use some of {', '.join(name for name in (*known, *SYNONYMS) if name)}.",
            )
    return [model_pb2.Capability.ValueType(known[named(capability)]) for capability in capabilities]
