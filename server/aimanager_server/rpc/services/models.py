"""ModelService: lists, describes and suggests models from the catalog, and counts tokens."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import grpc

from aimanager.v1 import model_pb2
from aimanager.v1.model_pb2_grpc import ModelServiceServicer, add_ModelServiceServicer_to_server

from ...catalog.catalog import Catalog
from ...catalog.model import Capability, Model
from ...catalog.recommendations import suggest_models
from ...core.errors import ProviderNotFound
from ...routing.resolver import Resolver
from ..context import current_rpc
from ..convert.fields import invalid_field, parse_page_size
from ..convert.models import model_to_proto, parse_capabilities, parse_model_query
from .count_tokens import CountTokensMethod

DEFAULT_SUGGESTIONS = 3
MAX_SUGGESTIONS = 50

IsAvailable = Callable[[str, str], bool]
"""Return whether a provider's model can be called now."""

Refresh = Callable[[str], Awaitable[None]]
"""Fetch the model list of one provider, or of all if empty. Raises GatewayError if the named one fails."""


class ModelService(ModelServiceServicer):
    """Implement ModelService. `providers` are the enabled ones; `today` returns the current date in UTC."""

    name = "aimanager.v1.ModelService"

    def __init__(
        self,
        catalog: Catalog,
        resolver: Resolver,
        providers: Collection[str],
        is_available: IsAvailable,
        refresh: Refresh,
        count_tokens: CountTokensMethod,
        today: Callable[[], date],
    ) -> None:
        self._catalog = catalog
        self._resolver = resolver
        self._providers = frozenset(providers)
        self._is_available = is_available
        self._refresh = refresh
        self._count_tokens = count_tokens
        self._today = today

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server that has not started yet."""
        add_ModelServiceServicer_to_server(self, server)

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> model_pb2.ListModelsResponse:
        """Return one page of models. With `refresh`, the first page fetches the providers' model lists.

        The page token names the last model of the previous page, so that changes between pages skip or repeat nothing.
        """
        size = parse_page_size(request.page_size)
        self._check_provider(request.provider)
        required = parse_capabilities(request.capabilities, "capabilities")
        if request.refresh and not request.page_token:
            await self._refresh(request.provider)
        models = self._after_page(request.page_token, self._models(request.provider))
        page: list[Model] = []
        for model in self._matching(models, required, available_only=request.available_only):
            if len(page) == size:
                return self._page(page, _page_token(page[-1]))
            page.append(model)
        return self._page(page, "")

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Any) -> model_pb2.GetModelResponse:
        """Return one model by id, alias or route; a route means its first target.

        An empty name means the model that this caller's calls use by default.
        """
        resolved = self._resolver.resolve_model(request.model, current_rpc.get().caller)
        return model_pb2.GetModelResponse(model=self._to_proto(resolved.model, self._resolver.routes_by_model()))

    async def SuggestModels(
        self, request: model_pb2.SuggestModelsRequest, context: Any
    ) -> model_pb2.SuggestModelsResponse:
        """Return the models that meet the requirements, best first."""
        for provider in request.providers:
            self._check_provider(provider)
        max_results = _max_results(request.max_results)
        query = parse_model_query(request)
        suggestions = suggest_models(self._models(""), query, self._can_be_called, self._today())
        routes = self._resolver.routes_by_model()
        return model_pb2.SuggestModelsResponse(
            suggestions=[
                model_pb2.ModelSuggestion(
                    model=self._to_proto(suggestion.model, routes), score=suggestion.score, reasons=suggestion.reasons
                )
                for suggestion in suggestions[:max_results]
            ]
        )

    async def CountTokens(self, request: model_pb2.CountTokensRequest, context: Any) -> model_pb2.CountTokensResponse:
        """Return the number of input tokens of a request."""
        return await self._count_tokens(request, current_rpc.get())

    def _check_provider(self, provider: str) -> None:
        if provider and provider not in self._providers:
            configured = ", ".join(sorted(self._providers))
            raise ProviderNotFound(
                f"Provider {provider!r} not found. Configured providers: {configured}.", provider=provider
            )

    def _models(self, provider: str) -> Sequence[Model]:
        return [model for model in self._catalog.models(provider) if model.provider in self._providers]

    def _after_page(self, token: str, models: Sequence[Model]) -> Sequence[Model]:
        if not token:
            return models
        for index, model in enumerate(models):
            if _page_token(model) == token:
                return models[index + 1 :]
        raise invalid_field("page_token", "must be the next_page_token of a page of this list")

    def _matching(
        self, models: Sequence[Model], required: Sequence[Capability], *, available_only: bool
    ) -> Iterator[Model]:
        for model in models:
            is_capable = all(model.supports(capability) for capability in required)
            if is_capable and (not available_only or self._can_be_called(model)):
                yield model

    def _page(self, models: Sequence[Model], token: str) -> model_pb2.ListModelsResponse:
        routes = self._resolver.routes_by_model()
        page = [self._to_proto(model, routes) for model in models]
        return model_pb2.ListModelsResponse(models=page, next_page_token=token)

    def _can_be_called(self, model: Model) -> bool:
        return self._is_available(model.provider, model.id)

    def _to_proto(self, model: Model, routes: Mapping[tuple[str, str], Sequence[str]]) -> model_pb2.Model:
        names = routes.get((model.provider, model.id), ())
        aliases = [alias for name in model.aliases if (alias := self._catalog.alias(model.provider, name)) is not None]
        converted = model_to_proto(model, available=self._can_be_called(model), routes=names)
        converted.alias_descriptions.update((alias.name, alias.description) for alias in aliases)
        return converted


def _max_results(requested: int) -> int:
    if requested < 0:
        raise invalid_field("max_results", f"must be between 0 and {MAX_SUGGESTIONS}, got {requested}")
    return min(requested or DEFAULT_SUGGESTIONS, MAX_SUGGESTIONS)


def _page_token(model: Model) -> str:
    return base64.urlsafe_b64encode(f"{model.provider}/{model.id}".encode()).decode().rstrip("=")
