"""Answers ModelService: from the catalogue, and where asked to, from what the providers say."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import grpc

from aimanager.v1 import model_pb2
from aimanager.v1.model_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server

from ...catalog.model import Capability, Model
from ...catalog.recommendations import suggest
from ...core.errors import ProviderNotFound
from ...core.request import Caller
from ..context import CURRENT, Rpc
from ..convert import models as wire_model
from ..convert.fields import refused

DEFAULT_PAGE = 50
LARGEST_PAGE = 500
DEFAULT_RESULTS = 3
MOST_RESULTS = 50

Available = Callable[[str, str], bool]
"""Whether a provider's model can be called now."""

Named = Callable[[str, Caller], Model]
"""The model that a name, alias or route means for a caller; raises a Fault where it means none."""

Routes = Callable[[], Mapping[tuple[str, str], Sequence[str]]]
"""The names of the routes that may lead to each model, by provider and id."""

Refresh = Callable[[str], Awaitable[None]]
"""Asks a provider, or all of them, which models they have. Raises GatewayError where one that was named fails."""

CountTokens = Callable[[model_pb2.CountTokensRequest, Rpc], Awaitable[model_pb2.CountTokensResponse]]


class Listing(Protocol):
    """Knows every model."""

    def models(self, provider: str = "") -> Sequence[Model]:
        """One provider's models, newest first, or everybody's, by provider."""
        ...


class ModelService(ModelServiceServicer):
    """ListModels, GetModel, SuggestModels and CountTokens. `providers` are those that may be called."""

    name = "aimanager.v1.ModelService"

    def __init__(
        self,
        catalogue: Listing,
        named: Named,
        providers: Collection[str],
        available: Available,
        refresh: Refresh,
        count_tokens: CountTokens,
        today: Callable[[], date],
        routes: Routes = dict,
    ) -> None:
        self._catalogue = catalogue
        self._named = named
        self._providers = frozenset(providers)
        self._available = available
        self._refresh = refresh
        self._count_tokens = count_tokens
        self._today = today
        self._routes = routes

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on a server that is not started yet."""
        add_ModelServiceServicer_to_server(self, server)

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> model_pb2.ListModelsResponse:
        """A page; the token names the last model of the page before, so that nothing is missed or told twice.

        Providers are asked for the first page only: the others tell on from there.
        """
        size = _page_size(request.page_size)
        self._check_provider(request.provider)
        wanted = wire_model.capabilities(request.capabilities, "capabilities")
        if request.refresh and not request.page_token:
            await self._refresh(request.provider)
        listed = self._after(request.page_token, self._models(request.provider))
        page: list[Model] = []
        for model in self._suiting(listed, wanted, available_only=request.available_only):
            if len(page) == size:
                return self._page(page, _token(page[-1]))
            page.append(model)
        return self._page(page, "")

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Any) -> model_pb2.GetModelResponse:
        """One model, by id, alias or route, whose first target it then is.

        An empty name is the one that answers this caller where none is named.
        """
        named = self._named(request.model, CURRENT.get().caller)
        return model_pb2.GetModelResponse(model=self._written(named, self._routes()))

    async def SuggestModels(
        self, request: model_pb2.SuggestModelsRequest, context: Any
    ) -> model_pb2.SuggestModelsResponse:
        """The models that meet the need, best first."""
        for provider in request.providers:
            self._check_provider(provider)
        most = _results(request.max_results)
        found = suggest(self._models(""), wire_model.wish(request), self._is_available, self._today())
        routes = self._routes()
        return model_pb2.SuggestModelsResponse(
            suggestions=[
                model_pb2.ModelSuggestion(model=self._written(one.model, routes), score=one.score, reasons=one.reasons)
                for one in found[:most]
            ]
        )

    async def CountTokens(self, request: model_pb2.CountTokensRequest, context: Any) -> model_pb2.CountTokensResponse:
        """The tokens of a question."""
        return await self._count_tokens(request, CURRENT.get())

    def _check_provider(self, provider: str) -> None:
        if provider and provider not in self._providers:
            accepted = ", ".join(sorted(self._providers))
            raise ProviderNotFound(f"There is no provider {provider!r}; there are: {accepted}.", provider=provider)

    def _models(self, provider: str) -> Sequence[Model]:
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
            if able and (not available_only or self._is_available(model)):
                yield model

    def _page(self, models: Sequence[Model], token: str) -> model_pb2.ListModelsResponse:
        routes = self._routes()
        written = [self._written(model, routes) for model in models]
        return model_pb2.ListModelsResponse(models=written, next_page_token=token)

    def _is_available(self, model: Model) -> bool:
        return self._available(model.provider, model.id)

    def _written(self, model: Model, routes: Mapping[tuple[str, str], Sequence[str]]) -> model_pb2.Model:
        leading = routes.get((model.provider, model.id), ())
        return wire_model.model(model, available=self._is_available(model), routes=leading)


def _page_size(asked: int) -> int:
    if asked < 0:
        raise refused("page_size", f"{asked} is negative; 0 to {LARGEST_PAGE} are accepted")
    return min(asked or DEFAULT_PAGE, LARGEST_PAGE)


def _results(asked: int) -> int:
    if asked < 0:
        raise refused("max_results", f"{asked} is negative; 0 to {MOST_RESULTS} are accepted")
    return min(asked or DEFAULT_RESULTS, MOST_RESULTS)


def _token(model: Model) -> str:
    return base64.urlsafe_b64encode(f"{model.provider}/{model.id}".encode()).decode().rstrip("=")
