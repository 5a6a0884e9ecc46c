"""Our words for models → protobuf, and a client's words for what a model shall do → ours."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from datetime import date

from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import model_pb2

from ...catalog.model import Capability, Level, Model, Prices
from ...catalog.recommendations import Objective, Wish
from .fields import accepted, refused

CAPABILITIES = {one: model_pb2.Capability.Value(f"CAPABILITY_{one.name}") for one in Capability}
ASKED: dict[int, Capability] = {number: one for one, number in CAPABILITIES.items()}
LEVELS = {level: model_pb2.SupportLevel.Value(f"SUPPORT_LEVEL_{level.name}") for level in Level}
OBJECTIVES = {
    model_pb2.OBJECTIVE_UNSPECIFIED: Objective.BALANCE,
    model_pb2.OBJECTIVE_QUALITY: Objective.QUALITY,
    model_pb2.OBJECTIVE_SPEED: Objective.SPEED,
    model_pb2.OBJECTIVE_COST: Objective.COST,
}


def capabilities(numbers: Iterable[int], path: str) -> list[Capability]:
    """What is asked for. Raises InvalidRequest, naming the field."""
    return [_capability(number, f"{path}[{index}]") for index, number in enumerate(numbers)]


def wish(request: model_pb2.SuggestModelsRequest) -> Wish:
    """The need. Raises InvalidRequest, naming the field."""
    objective = OBJECTIVES.get(request.objective)
    if objective is None:
        raise refused("objective", f"{request.objective} {accepted(model_pb2.Objective)}")
    if request.min_context_window_tokens < 0:
        raise refused("min_context_window_tokens", f"{request.min_context_window_tokens} is negative")
    return Wish(
        required=frozenset(capabilities(request.required, "required")),
        preferred=frozenset(capabilities(request.preferred, "preferred")),
        objective=objective,
        window=request.min_context_window_tokens,
        providers=frozenset(request.providers),
    )


def model(known: Model, *, available: bool, routes: Iterable[str] = ()) -> model_pb2.Model:
    """All that is known of a model, and the routes that may lead to it."""
    return model_pb2.Model(
        id=f"{known.provider}/{known.id}",
        provider=known.provider,
        display_name=known.name or known.id,
        aliases=known.aliases,
        capabilities=[
            model_pb2.CapabilitySupport(
                capability=CAPABILITIES[capability], level=LEVELS[support.level], note=support.note
            )
            for capability, support in known.capabilities.items()
        ],
        context_window_tokens=known.context_window or 0,
        max_output_tokens=known.max_output or 0,
        pricing=_pricing(known.prices),
        release_time=_midnight(known.released),
        retire_time=_midnight(known.retires),
        available=available,
        routes=routes,
    )


def _capability(number: int, path: str) -> Capability:
    capability = ASKED.get(number)
    if capability is None:
        raise refused(path, f"{number} {accepted(model_pb2.Capability)}")
    return capability


def _pricing(prices: Prices | None) -> model_pb2.Pricing | None:
    if prices is None:
        return None
    rates = prices.standard
    return model_pb2.Pricing(
        currency_code=prices.currency,
        input_nanos_per_mtok=rates.input,
        output_nanos_per_mtok=rates.output,
        cache_read_nanos_per_mtok=rates.cache_read,
        cache_write_nanos_per_mtok=rates.cache_write,
    )


def _midnight(day: date | None) -> Timestamp | None:
    """The start of a day, UTC."""
    return None if day is None else Timestamp(seconds=calendar.timegm(day.timetuple()))
