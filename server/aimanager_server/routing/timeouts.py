"""Decides how long a silent model is waited for: as the caller says, else the operator of the model, else of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..catalog.catalog import Catalogue, Model
from ..core.request import GenerateParams, StreamTimeouts

if TYPE_CHECKING:
    from ..config.settings import ModelSettings, PatienceSettings


class Patiences:
    """The patience with each model. `models` are the operator's words for single ones, by 'provider/id'."""

    def __init__(self, general: PatienceSettings, models: Mapping[str, ModelSettings], catalogue: Catalogue) -> None:
        self._general = general
        self._models: dict[tuple[str, str], ModelSettings] = {}
        for name, said in models.items():
            provider, _, model_id = name.partition("/")
            found = catalogue.find(provider, model_id)
            self._models[provider, found.id if found is not None else model_id] = said

    def __call__(self, model: Model, ask: GenerateParams, *, thinks: bool) -> StreamTimeouts:
        """How long the model, which thinks or not, is waited for to answer this."""
        general, own = self._general, self._models.get((model.provider, model.id))
        first = (
            own.first_token_seconds if own is not None and ask.first_token_timeout is None else ask.first_token_timeout
        )
        idle = own.idle_seconds if own is not None and ask.idle_timeout is None else ask.idle_timeout
        usual = general.first_token_reasoning_seconds if thinks else general.first_token_seconds
        patience = StreamTimeouts(
            first_token=usual if first is None else first,
            text=general.idle_text_seconds if idle is None else idle,
            tool_call=general.idle_tool_call_seconds if idle is None else idle,
            reasoning=general.idle_reasoning_seconds if idle is None else idle,
            is_explicit=first is not None,
        )
        return (
            patience
            if ask.first_token_timeout is None and ask.idle_timeout is None
            else replace(patience, set_by_caller=True)
        )
