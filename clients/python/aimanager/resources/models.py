"""Models of a gateway: list, look up, suggest, and count tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from .._convert.defaults import CallDefaults
from .._convert.models import ListOperation, get_model, list_models, next_page, no_matching_model, suggest_models
from .._convert.prompt import Prompt
from .._convert.requests import count_tokens
from .._transport.channel import AsyncChannel, SyncChannel
from .._transport.file_reading import build_operation
from ..options import RequestOptions, SuggestOptions
from ..types.model import Model
from ..types.model_suggestion import ModelSuggestion, TokenCount


class Models:
    """Models of a gateway.

    >>> ai.models.get("mock/latest").id
    'mock/mock-large'
    """

    def __init__(self, channel: SyncChannel, defaults: CallDefaults) -> None:
        self._channel = channel
        self._defaults = defaults

    def list(
        self,
        provider: str = "",
        *,
        capabilities: Sequence[str] = (),
        available_only: bool = False,
        refresh: bool = False,
    ) -> list[Model]:
        """List the models that have all `capabilities`, by provider and newest first.

        `refresh` makes the gateway query the providers first, so that the list includes models that its catalog does
        not contain yet, without capabilities. If a provider fails, its known models are listed and `health.list` has
        the reason; if it is the only provider, its error is raised.

        >>> [model.id for model in ai.models.list("mock", capabilities=["vision"])][:1]
        ['mock/mock-large']
        """
        models: list[Model] = []
        operation: ListOperation | None = list_models(
            provider, capabilities, available_only=available_only, refresh=refresh
        )
        while operation is not None:
            page = self._channel.call(operation)
            models += map(Model, page.models)
            operation = next_page(operation, page)
        return models

    def get(self, model: str) -> Model:
        """Return one model by any name that a request accepts. Raises InvalidModelError for an unknown name.

        >>> ai.models.get("mock/latest").supports("tools")
        True
        """
        return self._channel.call(get_model(model))

    def suggest(self, required: Sequence[str] = (), **options: Unpack[SuggestOptions]) -> Sequence[ModelSuggestion]:
        """Suggest models with all `required` capabilities, best first. SuggestOptions lists the options.

        >>> [each.model.provider for each in ai.models.suggest(["tools"], providers=["mock"], max_results=1)]
        ['mock']
        """
        return self._channel.call(suggest_models(required, options))

    def suggest_model(self, provider: str, required_capabilities: Sequence[str]) -> str:
        """Return the id of the provider's best model with all of the capabilities.

        Raises InvalidRequestError, naming the missing capabilities, if no model has them.

        >>> ai.models.suggest_model("mock", ["vision"]).startswith("mock/")
        True
        """
        for suggestion in self.suggest(required_capabilities, providers=[provider], max_results=1):
            return suggestion.model.id
        raise no_matching_model(provider, required_capabilities, self.list(provider))

    def count_tokens(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> TokenCount:
        """Count the input tokens of a request without running it. Takes the options of `request`.

        >>> ai.models.count_tokens("How long is this?", model="mock/latest").input_tokens
        4
        """
        return self._channel.call(count_tokens(prompt, options, self._defaults))


class AsyncModels:
    """Models of a gateway, for asyncio. Models describes the methods."""

    def __init__(self, channel: AsyncChannel, defaults: CallDefaults) -> None:
        self._channel = channel
        self._defaults = defaults

    async def list(
        self,
        provider: str = "",
        *,
        capabilities: Sequence[str] = (),
        available_only: bool = False,
        refresh: bool = False,
    ) -> list[Model]:
        """List the models that have all `capabilities`, by provider and newest first, like Models.list."""
        models: list[Model] = []
        operation: ListOperation | None = list_models(
            provider, capabilities, available_only=available_only, refresh=refresh
        )
        while operation is not None:
            page = await self._channel.call(operation)
            models += map(Model, page.models)
            operation = next_page(operation, page)
        return models

    async def get(self, model: str) -> Model:
        """Return one model by any name that a request accepts. Raises InvalidModelError for an unknown name."""
        return await self._channel.call(get_model(model))

    async def suggest(
        self, required: Sequence[str] = (), **options: Unpack[SuggestOptions]
    ) -> Sequence[ModelSuggestion]:
        """Suggest models with all `required` capabilities, best first. SuggestOptions lists the options."""
        return await self._channel.call(suggest_models(required, options))

    async def suggest_model(self, provider: str, required_capabilities: Sequence[str]) -> str:
        """Return the id of the provider's best model with all of the capabilities.

        Raises InvalidRequestError, naming the missing capabilities, if no model has them.
        """
        for suggestion in await self.suggest(required_capabilities, providers=[provider], max_results=1):
            return suggestion.model.id
        raise no_matching_model(provider, required_capabilities, await self.list(provider))

    async def count_tokens(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> TokenCount:
        """Count the input tokens of a request without running it. Files are read in a thread."""
        operation = await build_operation(lambda: count_tokens(prompt, options, self._defaults), options)
        return await self._channel.call(operation)
