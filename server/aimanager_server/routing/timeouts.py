"""Resolve the stream timeouts of a call: the caller's, else those of the model, else the general settings."""

from __future__ import annotations

from collections.abc import Mapping

from ..catalog.catalog import Catalog
from ..catalog.model import Model
from ..config.models import ModelSettings
from ..config.resilience import StreamTimeoutSettings
from ..core.request import GenerateParams, StreamTimeouts


class StreamTimeoutsResolver:
    """Resolve the stream timeouts of one call to one model. `models` holds settings by 'provider/id'."""

    def __init__(self, general: StreamTimeoutSettings, models: Mapping[str, ModelSettings], catalog: Catalog) -> None:
        self._general = general
        self._models: dict[tuple[str, str], ModelSettings] = {}
        for name, settings in models.items():
            provider, _, model_id = name.partition("/")
            model = catalog.find(provider, model_id)
            self._models[provider, model.id if model is not None else model_id] = settings
        self._defaults = {is_reasoning: self._timeouts(None, None, is_reasoning) for is_reasoning in (False, True)}

    def __call__(self, model: Model, params: GenerateParams, *, is_reasoning: bool) -> StreamTimeouts:
        """Return the timeouts in seconds. `is_reasoning` selects the longer first-token timeout of the settings."""
        first_token, idle = params.first_token_timeout, params.idle_timeout
        set_by_caller = first_token is not None or idle is not None
        own = self._models.get((model.provider, model.id)) if self._models else None
        if own is None and not set_by_caller:
            return self._defaults[is_reasoning]
        if own is not None:
            first_token = own.first_token_timeout_seconds if first_token is None else first_token
            idle = own.idle_timeout_seconds if idle is None else idle
        return self._timeouts(first_token, idle, is_reasoning, set_by_caller=set_by_caller)

    def _timeouts(
        self, first_token: float | None, idle: float | None, is_reasoning: bool, *, set_by_caller: bool = False
    ) -> StreamTimeouts:
        """Return the general timeouts, with these instead of those that are set."""
        general = self._general
        default = general.first_token_reasoning_seconds if is_reasoning else general.first_token_seconds
        return StreamTimeouts(
            first_token=default if first_token is None else first_token,
            text=general.idle_text_seconds if idle is None else idle,
            tool_call=general.idle_tool_call_seconds if idle is None else idle,
            reasoning=general.idle_reasoning_seconds if idle is None else idle,
            is_explicit=first_token is not None,
            set_by_caller=set_by_caller,
        )
