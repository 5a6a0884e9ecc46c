"""Which models there are, which of them suit a need, and how many tokens a question has for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Unpack

from .._convert.checks import readable
from .._convert.requests import Prompt, count_request
from .._transport.channel import AsyncConnection, Connection
from .._transport.errors import translated
from .._transport.settings import PROBE_SECONDS, READ_SECONDS, Setup
from ..options import RequestOptions
from ..types.model import Model
from ..types.model_suggestion import (
    ModelSuggestion,
    SuggestOptions,
    TokenCount,
    list_request,
    missing,
    read_suggestions,
    suggest_request,
)
from ..v1 import model_pb2


class Models:
    """The models of a gateway."""

    def __init__(self, connection: Connection, setup: Setup) -> None:
        self._connection = connection
        self._setup = setup

    def list(
        self,
        provider: str = "",
        *,
        capabilities: Sequence[str] = (),
        available_only: bool = False,
        refresh: bool = False,
    ) -> list[Model]:
        """Every model, by provider and then newest first, that has all the capabilities.

        `refresh` has the gateway ask the providers first, so that models too new for its catalogue are there, without
        capabilities. One that fails keeps the models known of it, and `health.list` says why; alone, it raises.
        """
        request = list_request(provider, capabilities, available_only=available_only, refresh=refresh)
        return [Model(model) for page in self._pages(request) for model in page.models]

    def get(self, name: str) -> Model:
        """One model, by any name a request may use. Raises InvalidModelError if there is none."""
        with translated(self._connection):
            answer = self._connection.stubs.models.GetModel(
                model_pb2.GetModelRequest(model=readable("name", name)),
                timeout=READ_SECONDS,
                metadata=self._connection.endpoint.metadata,
            )
        return Model(answer.model)

    def suggest(self, required: Sequence[str] = (), **options: Unpack[SuggestOptions]) -> Sequence[ModelSuggestion]:
        """The models that have all that is required, best first. SuggestOptions says what else may be said."""
        request = suggest_request(required, options)
        with translated(self._connection):
            answer = self._connection.stubs.models.SuggestModels(
                request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
            )
        return read_suggestions(answer)

    def suggest_model(self, provider: str, required: Sequence[str]) -> str:
        """The id of the provider's model that has all that is required and fits best.

        Raises InvalidRequestError, naming what is missing, where there is none.
        """
        for suggestion in self.suggest(required, providers=[provider], max_results=1):
            return suggestion.model.id
        raise missing(provider, required, self.list(provider))

    def count_tokens(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> TokenCount:
        """The tokens of a question that is not asked. Takes what `request` takes."""
        request = count_request(prompt, options, self._setup)
        timeout = self._setup.patience(options.get("timeout"), PROBE_SECONDS).remaining
        with translated(self._connection):
            answer = self._connection.stubs.models.CountTokens(
                request, timeout=timeout, metadata=self._connection.endpoint.generation_metadata
            )
        return TokenCount.read(answer)

    def _pages(self, request: model_pb2.ListModelsRequest) -> Iterator[model_pb2.ListModelsResponse]:
        page = self._page(request)
        yield page
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = self._page(request)
            yield page

    def _page(self, request: model_pb2.ListModelsRequest) -> model_pb2.ListModelsResponse:
        timeout = PROBE_SECONDS if request.refresh else READ_SECONDS
        with translated(self._connection):
            return self._connection.stubs.models.ListModels(
                request, timeout=timeout, metadata=self._connection.endpoint.metadata
            )


class AsyncModels:
    """The models of a gateway, for asyncio. As Models."""

    def __init__(self, connection: AsyncConnection, setup: Setup) -> None:
        self._connection = connection
        self._setup = setup

    async def list(
        self,
        provider: str = "",
        *,
        capabilities: Sequence[str] = (),
        available_only: bool = False,
        refresh: bool = False,
    ) -> list[Model]:
        """Every model, by provider and then newest first, that has all the capabilities. `refresh` as in Models."""
        request = list_request(provider, capabilities, available_only=available_only, refresh=refresh)
        return [Model(model) async for page in self._pages(request) for model in page.models]

    async def get(self, name: str) -> Model:
        """One model, by any name a request may use. Raises InvalidModelError if there is none."""
        with translated(self._connection):
            answer = await self._connection.stubs.models.GetModel(
                model_pb2.GetModelRequest(model=readable("name", name)),
                timeout=READ_SECONDS,
                metadata=self._connection.endpoint.metadata,
            )
        return Model(answer.model)

    async def suggest(
        self, required: Sequence[str] = (), **options: Unpack[SuggestOptions]
    ) -> Sequence[ModelSuggestion]:
        """The models that have all that is required, best first. SuggestOptions says what else may be said."""
        request = suggest_request(required, options)
        with translated(self._connection):
            answer = await self._connection.stubs.models.SuggestModels(
                request, timeout=READ_SECONDS, metadata=self._connection.endpoint.metadata
            )
        return read_suggestions(answer)

    async def suggest_model(self, provider: str, required: Sequence[str]) -> str:
        """The id of the provider's model that has all that is required and fits best.

        Raises InvalidRequestError, naming what is missing, where there is none.
        """
        for suggestion in await self.suggest(required, providers=[provider], max_results=1):
            return suggestion.model.id
        raise missing(provider, required, await self.list(provider))

    async def count_tokens(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> TokenCount:
        """The tokens of a question that is not asked. Takes what `request` takes; files are read in a thread."""
        if options.get("attachments"):
            request = await asyncio.to_thread(count_request, prompt, options, self._setup)
        else:
            request = count_request(prompt, options, self._setup)
        timeout = self._setup.patience(options.get("timeout"), PROBE_SECONDS).remaining
        with translated(self._connection):
            answer = await self._connection.stubs.models.CountTokens(
                request, timeout=timeout, metadata=self._connection.endpoint.generation_metadata
            )
        return TokenCount.read(answer)

    async def _pages(self, request: model_pb2.ListModelsRequest) -> AsyncIterator[model_pb2.ListModelsResponse]:
        page = await self._page(request)
        yield page
        while page.next_page_token:
            request.page_token = page.next_page_token
            page = await self._page(request)
            yield page

    async def _page(self, request: model_pb2.ListModelsRequest) -> model_pb2.ListModelsResponse:
        timeout = PROBE_SECONDS if request.refresh else READ_SECONDS
        with translated(self._connection):
            return await self._connection.stubs.models.ListModels(
                request, timeout=timeout, metadata=self._connection.endpoint.metadata
            )
