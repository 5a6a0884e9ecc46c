"""Build the operations that list, get and suggest models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..errors import InvalidRequestError
from ..options import SuggestOptions, reject_unknown
from ..types.model import Model
from ..types.model_suggestion import ModelSuggestion
from ..v1 import model_pb2
from .capabilities import ARTIFACTS, canonical_capability
from .checks import require_choice, require_names, require_utf8, set_number
from .operation import PROBE_TIMEOUT, READ_TIMEOUT, Operation
from .scalars import enum_words

PAGE_SIZE = 500

ListOperation: TypeAlias = Operation[
    model_pb2.ListModelsRequest, model_pb2.ListModelsResponse, model_pb2.ListModelsResponse
]
GetOperation: TypeAlias = Operation[model_pb2.GetModelRequest, model_pb2.GetModelResponse, Model]
SuggestOperation: TypeAlias = Operation[
    model_pb2.SuggestModelsRequest, model_pb2.SuggestModelsResponse, list[ModelSuggestion]
]


def list_models(provider: str, capabilities: Sequence[str], *, available_only: bool, refresh: bool) -> ListOperation:
    """Describe the first page of a model list. Raises InvalidRequestError for an unknown capability."""
    request = model_pb2.ListModelsRequest(
        page_size=PAGE_SIZE,
        provider=require_utf8("provider", provider),
        capabilities=_capabilities("capabilities", capabilities),
        available_only=available_only,
        refresh=refresh,
    )
    return Operation("models.ListModels", request, PROBE_TIMEOUT if refresh else READ_TIMEOUT, lambda page: page)


def next_page(operation: ListOperation, page: model_pb2.ListModelsResponse) -> ListOperation | None:
    """Describe the page after `page`, or return None after the last one."""
    if not page.next_page_token:
        return None
    request = model_pb2.ListModelsRequest()
    request.CopyFrom(operation.request)
    request.page_token = page.next_page_token
    return replace(operation, request=request)


def get_model(model: str) -> GetOperation:
    """Describe a lookup of one model by id, alias or route."""
    request = model_pb2.GetModelRequest(model=require_utf8("model", model))
    return Operation("models.GetModel", request, READ_TIMEOUT, lambda response: Model(response.model))


def suggest_models(required: Sequence[str], options: SuggestOptions) -> SuggestOperation:
    """Describe a search for suitable models. Raises InvalidRequestError for an unknown capability or objective."""
    reject_unknown("suggest", options, ("required", *SuggestOptions.__annotations__))
    objective = options.get("objective")
    number = require_choice("objective", objective, enum_words(model_pb2.Objective)) if objective else 0
    request = model_pb2.SuggestModelsRequest(
        required=_capabilities("required", required),
        preferred=_capabilities("preferred", options.get("preferred", ())),
        objective=model_pb2.Objective.ValueType(number),
        providers=require_names("providers", options.get("providers", ())),
    )
    for parameter in ("min_context_window_tokens", "max_results"):
        set_number(request, parameter, parameter, options.get(parameter))
    return Operation("models.SuggestModels", request, READ_TIMEOUT, _suggestions)


def _suggestions(response: model_pb2.SuggestModelsResponse) -> list[ModelSuggestion]:
    return [ModelSuggestion(Model(each.model), each.score, tuple(each.reasons)) for each in response.suggestions]


def no_matching_model(provider: str, required: Sequence[str], models: Iterable[Model]) -> InvalidRequestError:
    """Return the error that names the capabilities which no model of a provider has, or has together."""
    offered = list(models)
    missing = [name for name in required if not any(model.supports(name) for model in offered)]
    what = ", ".join(missing) if missing else f"all of {', '.join(required)} at once"
    return InvalidRequestError(
        f"No model of provider {provider!r} is known to support {what}.",
        reason="CAPABILITY_UNSUPPORTED",
        solution="Require fewer capabilities, or search all providers with models.suggest().",
        provider=provider,
    )


def _capabilities(parameter: str, names: Iterable[str]) -> list[model_pb2.Capability.ValueType]:
    """Return the numbers of capabilities, without artifacts, which every model has."""
    words = [canonical_capability(name, f"{parameter}[{index}]") for index, name in enumerate(names)]
    numbers = enum_words(model_pb2.Capability)
    return [model_pb2.Capability.ValueType(numbers[word]) for word in words if word != ARTIFACTS]
