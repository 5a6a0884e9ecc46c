"""Catalog models to protobuf, and model queries from protobuf."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import date

from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import model_pb2

from ...catalog.model import Capability, Model, Prices, SupportLevel
from ...catalog.recommendations import ModelQuery, Objective
from .fields import invalid_field, unknown_enum_value

CAPABILITIES = {one: model_pb2.Capability.Value(f"CAPABILITY_{one.name}") for one in Capability}
CAPABILITIES_BY_NUMBER: dict[int, Capability] = {number: one for one, number in CAPABILITIES.items()}
SUPPORT_LEVELS = {level: model_pb2.SupportLevel.Value(f"SUPPORT_LEVEL_{level.name}") for level in SupportLevel}
OBJECTIVES = {
    model_pb2.OBJECTIVE_UNSPECIFIED: Objective.BALANCED,
    model_pb2.OBJECTIVE_BALANCED: Objective.BALANCED,
    model_pb2.OBJECTIVE_QUALITY: Objective.QUALITY,
    model_pb2.OBJECTIVE_SPEED: Objective.SPEED,
    model_pb2.OBJECTIVE_COST: Objective.COST,
}


def parse_capabilities(numbers: Iterable[int], path: str) -> list[Capability]:
    """Convert enum numbers to capabilities. Raises InvalidRequest for an unknown number."""
    return [_capability(number, f"{path}[{index}]") for index, number in enumerate(numbers)]


def parse_model_query(request: model_pb2.SuggestModelsRequest) -> ModelQuery:
    """Convert the request to a query. Raises InvalidRequest."""
    objective = OBJECTIVES.get(request.objective)
    if objective is None:
        raise unknown_enum_value("objective", model_pb2.Objective, request.objective)
    if request.min_context_window_tokens < 0:
        raise invalid_field("min_context_window_tokens", f"must be at least 0, got {request.min_context_window_tokens}")
    return ModelQuery(
        required=frozenset(parse_capabilities(request.required, "required")),
        preferred=frozenset(parse_capabilities(request.preferred, "preferred")),
        objective=objective,
        min_context_window=request.min_context_window_tokens,
        providers=frozenset(request.providers),
    )


def model_to_proto(model: Model, *, available: bool, routes: Iterable[str] = ()) -> model_pb2.Model:
    """Convert a model; `routes` are the names of the routes that have it as a target."""
    return model_pb2.Model(
        id=f"{model.provider}/{model.id}",
        provider=model.provider,
        model=model.id,
        display_name=model.name or model.id,
        aliases=model.aliases,
        capabilities=[
            model_pb2.CapabilitySupport(
                capability=CAPABILITIES[capability], level=SUPPORT_LEVELS[support.level], note=support.note
            )
            for capability, support in model.capabilities.items()
        ],
        context_window_tokens=model.context_window or 0,
        max_output_tokens=model.max_output_tokens or 0,
        pricing=_pricing(model.prices),
        release_time=_midnight_utc(model.released),
        retire_time=_midnight_utc(model.retires),
        available=available,
        routes=routes,
    )


def _capability(number: int, path: str) -> Capability:
    capability = CAPABILITIES_BY_NUMBER.get(number)
    if capability is None:
        raise unknown_enum_value(path, model_pb2.Capability, number)
    return capability


def _pricing(prices: Prices | None) -> model_pb2.Pricing | None:
    if prices is None:
        return None
    rates = prices.standard
    return model_pb2.Pricing(
        currency_code=prices.currency,
        input_nanos_per_million_tokens=rates.input,
        output_nanos_per_million_tokens=rates.output,
        cache_read_nanos_per_million_tokens=rates.cache_read,
        cache_write_nanos_per_million_tokens=rates.cache_write,
    )


def _midnight_utc(day: date | None) -> Timestamp | None:
    return None if day is None else Timestamp(seconds=calendar.timegm(day.timetuple()))
