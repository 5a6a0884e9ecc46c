"""Answers ModelService from the catalogue."""

from __future__ import annotations

import base64
import calendar
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from typing import Any, Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from aimanager.v1 import model_pb2
from aimanager.v1.model_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server

from ..call import Caller
from ..errors import UnknownProvider
from ..model import Capability, Level, Model, Prices
from .rpc import CURRENT
from .wire_read import refused

DEFAULT_PAGE = 50
LARGEST_PAGE = 500

CAPABILITIES = {one: model_pb2.Capability.Value(f"CAPABILITY_{one.name}") for one in Capability}
ASKED: dict[int, Capability] = {number: one for one, number in CAPABILITIES.items()}
LEVELS = {level: model_pb2.SupportLevel.Value(f"SUPPORT_LEVEL_{level.name}") for level in Level}

Available = Callable[[str, str], bool]
"""Whether a provider's model can be called now."""


Named = Callable[[str, Caller], Model]
"""The model that a name or alias means for a caller; raises a Fault where it means none."""


class Listing(Protocol):
    """Knows every model."""

    def models(self, provider: str = "") -> Sequence[Model]:
        """One provider's models, newest first, or everybody's, by provider."""
        ...


class ModelService(ModelServiceServicer):
    """ListModels and GetModel. `providers` are those that may be called."""

    name = "aimanager.v1.ModelService"

    def __init__(self, catalogue: Listing, named: Named, providers: Collection[str], available: Available) -> None:
        self._catalogue = catalogue
        self._named = named
        self._providers = frozenset(providers)
        self._available = available

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that is not started yet."""
        add_ModelServiceServicer_to_server(self, server)

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> model_pb2.ListModelsResponse:
        """A page; the token names the last model of the page before, so that nothing is missed or told twice."""
        size = _page_size(request.page_size)
        listed = self._after(request.page_token, self._models(request.provider))
        wanted = [_capability(number, index) for index, number in enumerate(request.capabilities)]
        page: list[Model] = []
        for model in self._suiting(listed, wanted, available_only=request.available_only):
            if len(page) == size:
                return self._page(page, _token(page[-1]))
            page.append(model)
        return self._page(page, "")

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Any) -> model_pb2.GetModelResponse:
        """One model, by id or alias; an empty name is the one that answers this caller where none is named."""
        named = self._named(request.model, CURRENT.get().caller)
        return model_pb2.GetModelResponse(model=self._written(named))

    def _models(self, provider: str) -> Sequence[Model]:
        if provider and provider not in self._providers:
            accepted = ", ".join(sorted(self._providers))
            raise UnknownProvider(f"There is no provider {provider!r}; there are: {accepted}.", provider=provider)
        return [model for model in self._catalogue.models(provider) if model.provider in self._providers]

    def _after(self, token: str, models: Sequence[Model]) -> Sequence[Model]:
        if not token:
            return models
        for index, model in enumerate(models):
            if _token(model) == token:
                return models[index + 1 :]
        raise refused("page_token", "is not the next_page_token of a page of this listing")

    def _suiting(self, models: Sequence[Model], wanted: list[Capability], *, available_only: bool) -> Iterator[Model]:
        for model in models:
            able = all(model.can(capability) for capability in wanted)
            if able and (not available_only or self._available(model.provider, model.id)):
                yield model

    def _page(self, models: Sequence[Model], token: str) -> model_pb2.ListModelsResponse:
        return model_pb2.ListModelsResponse(models=map(self._written, models), next_page_token=token)

    def _written(self, model: Model) -> model_pb2.Model:
        return model_pb2.Model(
            id=f"{model.provider}/{model.id}",
            provider=model.provider,
            display_name=model.name or model.id,
            aliases=model.aliases,
            capabilities=[
                model_pb2.CapabilitySupport(
                    capability=CAPABILITIES[capability], level=LEVELS[support.level], note=support.note
                )
                for capability, support in model.capabilities.items()
            ],
            context_window_tokens=model.context_window or 0,
            max_output_tokens=model.max_output or 0,
            pricing=_pricing(model.prices),
            release_time=_midnight(model.released),
            retire_time=_midnight(model.retires),
            available=self._available(model.provider, model.id),
        )


def _page_size(asked: int) -> int:
    if asked < 0:
        raise refused("page_size", f"{asked} is negative; 0 to {LARGEST_PAGE} are accepted")
    return min(asked or DEFAULT_PAGE, LARGEST_PAGE)


def _capability(number: int, index: int) -> Capability:
    capability = ASKED.get(number)
    if capability is None:
        names = ", ".join(name for name, known in model_pb2.Capability.items() if known)
        raise refused(f"capabilities[{index}]", f"{number} is not accepted; send one of {names}")
    return capability


def _token(model: Model) -> str:
    return base64.urlsafe_b64encode(f"{model.provider}/{model.id}".encode()).decode().rstrip("=")


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
